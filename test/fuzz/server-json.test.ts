import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { pkcs8Pem } from '../../agent/crypto/keys.js'
import { pemFromDer } from '../../agent/crypto/pem.js'
import { Secret } from '../../agent/crypto/secret.js'
import type { IcpClient } from '../../agent/icp/client.js'
import type { EntriesAnswer, IssuedCertificate } from '../../agent/icp/control-plane.js'
import { parseAuthority } from '../../agent/identity/authority.js'
import { parseJwtKey } from '../../agent/identity/jwt-svid.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { HttpResponse } from '../../agent/ports/http.js'
import { TENANT } from '../fakes/control-plane.js'
import { ScriptedHttp } from '../fakes/http.js'
import { rsaKey } from '../fakes/keys.js'
import { publishedKey } from '../fakes/tokens.js'
import { clientOver, SIGNAL } from '../unit/icp/subject.js'
import { AUTHORITY, LEAF } from './certificates.js'
import { accepted, acceptedAsync, alwaysAsync } from './fuzz.js'
import { mutated, mutatedJson, mutations } from './mutations.js'

const AGENT = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const CERTIFICATE = pemFromDer(LEAF, 'CERTIFICATE')
const CA = pemFromDer(AUTHORITY, 'CERTIFICATE')
const TOKEN = 'eyJhbGciOiJSUzI1NiJ9.e30.AAAA'
/** What an answer can be, whatever it holds. */
const REFUSED = [
  ...['icp.bad_response', 'icp.too_large', 'icp.bad_request', 'icp.unauthorized', 'icp.forbidden', 'icp.not_found'],
  ...['icp.jwt_unauthorized', 'icp.no_bundle', 'icp.svid_unknown', 'icp.agent_inactive'],
  ...['icp.conflict', 'icp.rate_limited', 'icp.server_error', 'icp.csr_dropped', 'icp.no_match', 'icp.cn_refused'],
]

/** Where the test does not say what the answer holds. */
const UNREAD = Symbol('unread')

interface Endpoint {
  readonly good: unknown
  ask(client: IcpClient): Promise<unknown>
  /** What must be true of every answer that is taken. */
  check(answer: never, body: unknown): void | Promise<void>
}

let endpoints: Readonly<Record<string, Endpoint>>
let privateKey: string

beforeAll(async () => {
  const key = await rsaKey(0)
  privateKey = pkcs8Pem(key)
  const issued = { spiffe_id: AGENT.uri, certificate: CERTIFICATE, ca_bundle: CA, ttl: 86_400, private_key: privateKey }
  const entry = { id: 'e1', spiffe_id: 'spiffe://td/web', parent_id: '', selectors: { 'unix:uid': '0' }, ttl: 60 }
  const csrPem = 'CSR'
  const isCertificate = ({ chain, bundle, spiffeId }: IssuedCertificate) => {
    expect(chain.length).toBeGreaterThan(0)
    for (const der of [...chain, ...bundle]) expect(der).toBeInstanceOf(Uint8Array)
    expect(spiffeId).toBeTypeOf('string')
  }
  endpoints = {
    attestNode: {
      good: { ...issued, agent_id: 'a1', workspace_id: TENANT },
      ask: (client) => client.attestNode({ evidence: { type: 'unix', evidence: { pid: 1 } }, csrPem }, SIGNAL),
      check: isCertificate,
    },
    renewAgent: {
      good: { ...issued, ca_chain: [CA] },
      ask: (client) => client.renewAgent({ agentId: 'a1', csrPem }, SIGNAL),
      check: isCertificate,
    },
    entries: {
      good: { entries: [entry, { ...entry, id: 'e2', parent_id: AGENT.uri }], total: 2 },
      ask: (client) => client.entries(AGENT, SIGNAL),
      check: ({ entries, rejected }: EntriesAnswer) => {
        for (const { id, spiffeId, selectors, createdAt, ttlSeconds } of entries) {
          expect(id).toMatch(/^\P{C}{1,255}$/u)
          expect(SpiffeId.parse(spiffeId.uri).path).not.toBe('')
          for (const [selector, value] of selectors)
            expect([typeof selector, typeof value]).toEqual(['string', 'string'])
          expect(Number.isFinite(createdAt)).toBe(true)
          expect(ttlSeconds === null || ttlSeconds >= 0).toBe(true)
        }
        for (const { id, reason } of rejected) expect(id.length + reason.length).toBeLessThan(2_000)
      },
    },
    signWorkload: {
      good: { ...issued, trust_bundle: CA, expires_at: '2026-01-01T00:00:00Z' },
      ask: (client) => client.signWorkload({ agent: AGENT, selectors: new Map([['a', 'b']]), csrPem }, SIGNAL),
      check: isCertificate,
    },
    bundle: {
      good: { ca_bundle: CA, tenant_id: TENANT },
      ask: (client) => client.bundle(SIGNAL),
      check: (ders: readonly Uint8Array[]) => {
        expect(ders.length).toBeGreaterThan(0)
        for (const der of ders) accepted(['svid.invalid'], () => parseAuthority(der))
      },
    },
    issueJwt: {
      good: { spiffe_id: 'spiffe://td/web', token: TOKEN, expires_at: 'tomorrow' },
      ask: (client) => client.issueJwt({ spiffeId: AGENT, audience: ['db'] }, SIGNAL),
      check: ({ token }: { token: Secret }) => expect(token).toBeInstanceOf(Secret),
    },
    jwtBundle: {
      good: { keys: [{ ...publishedKey(key), kid: 'default', alg: 'RS256', d: 'private', p: 'private' }] },
      ask: (client) => client.jwtBundle(SIGNAL),
      // Nothing private is taken, and whatever is taken is then read as keys.
      check: async (keys: readonly Record<string, unknown>[]) => {
        for (const one of keys) for (const member of ['d', 'p', 'k']) expect(Object.hasOwn(one, member)).toBe(false)
        await Promise.all(keys.map(parseJwtKey))
      },
    },
    validateJwt: {
      good: {
        spiffe_id: 'spiffe://td/web',
        valid: true,
        claims: { sub: 'spiffe://td/web' },
        expires_at: 1,
        audience: 'db',
      },
      ask: (client) => client.validateJwt({ token: new Secret(TOKEN), audience: 'db' }, SIGNAL),
      // The server's word alone, not what somebody could take for it.
      check: ({ valid }: { valid: boolean }, body) =>
        expect(valid).toBe(body === UNREAD ? valid : (body as { readonly valid: unknown }).valid),
    },
    revokeWorkload: {
      good: { message: 'done' },
      ask: (client) => client.revokeWorkload('00:01', SIGNAL),
      check: () => undefined,
    },
  }
})

const NAMES = [
  ...['attestNode', 'renewAgent', 'entries', 'signWorkload', 'bundle', 'issueJwt', 'jwtBundle', 'validateJwt'],
  'revokeWorkload',
]

/** Answers so to one request: it is taken, and then it is good, or it is refused as what it is. */
async function answered(name: string, response: HttpResponse, body: unknown = UNREAD): Promise<boolean> {
  const endpoint = endpoints[name]
  if (!endpoint) throw new Error(`no endpoint ${name}`)
  const { client } = clientOver(new ScriptedHttp().always(response), { maxRetries: 0 })
  let said = ''
  const answer = await acceptedAsync(REFUSED, async () => {
    try {
      return { value: await endpoint.ask(client) }
    } catch (error) {
      said = `${String(error)} ${JSON.stringify(error)}`
      throw error
    }
  })
  // No refusal repeats a key or a token, and none is endless.
  for (const secret of [TOKEN, privateKey.split('\n')[1] ?? '']) expect(said).not.toContain(secret)
  expect(said.length).toBeLessThan(4_000)
  if (answer) await endpoint.check(answer.value as never, body)
  return answer !== null
}

const json = (status: number, body: unknown): HttpResponse => ({
  status,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(body) ?? ''),
})

describe.each(NAMES)('%s', (name) => {
  test('takes a good answer', async () => {
    expect(await answered(name, json(200, endpoints[name]?.good))).toBe(true)
  })

  test('takes or refuses an answer in which something is another', async () => {
    await alwaysAsync(400, mutatedJson(endpoints[name]?.good), async (body) => {
      await answered(name, json(200, body), body)
    })
  })

  test('takes or refuses an answer that was cut, torn or is something else', async () => {
    const original = Buffer.from(JSON.stringify(endpoints[name]?.good))
    const bodies = fc.oneof(
      mutations.map((changes) => mutated(original, changes)),
      fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes)),
      fc.json({ maxDepth: 4 }).map((text) => Buffer.from(text)),
    )
    await alwaysAsync(250, bodies, async (body) => {
      await answered(name, { status: 200, headers: {}, body })
    })
  })

  test('knows what to make of any status, and of any words with it', async () => {
    const errors = fc.oneof(
      fc.record({ error: fc.record({ code: fc.string(), message: fc.string({ unit: 'binary' }) }) }),
      fc.record({ error: fc.string(), message: fc.jsonValue() }),
      fc.jsonValue(),
      fc.constant({ error: { code: 'BAD', message: `${TOKEN} ${'x'.repeat(100_000)}` } }),
    )
    const retryAfter = fc.constantFrom('60', '-1', 'x', '1e999', 'Wed, 21 Oct 2015 07:28:00 GMT', '')
    await alwaysAsync(
      150,
      fc.tuple(fc.integer({ min: 201, max: 599 }), errors, retryAfter),
      async ([status, body, after]) => {
        const response = json(status, body)
        const taken = await answered(name, { ...response, headers: { ...response.headers, 'retry-after': after } })
        if (status >= 300) expect(taken).toBe(false)
      },
    )
  })
})

test('an answer nested without end is taken or refused like any other', async () => {
  for (const name of NAMES) {
    const body = Buffer.from(`{"entries":${'['.repeat(200_000)}${']'.repeat(200_000)}}`)
    await answered(name, { status: 200, headers: {}, body })
  }
})

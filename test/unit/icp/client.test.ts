import { beforeAll, describe, expect, it } from 'vitest'
import { pemFromDer } from '../../../agent/crypto/pem.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { type AgentError, codeOf } from '../../../agent/errors.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import type { HttpResponse } from '../../../agent/ports/http.js'
import { TestCa } from '../../fakes/ca.js'
import { TENANT } from '../../fakes/control-plane.js'
import { json, ScriptedHttp, text } from '../../fakes/http.js'
import { rsaKey } from '../../fakes/keys.js'
import { ADDRESS, clientOver, SIGNAL } from './subject.js'

const AGENT = SpiffeId.parse(`spiffe://${TENANT}/agent/node-1`)
const WEB = SpiffeId.parse('spiffe://acme.example/web')
const EVIDENCE = { type: 'unix', evidence: { pid: 1, username: 'root', hostname: 'host' } } as const

let ca: TestCa
let pem: string
beforeAll(async () => {
  ca = await TestCa.create('Root', { notBefore: 0, notAfter: 4_000_000_000_000 })
  pem = ca.pem
})
const issued = (more: object = {}) => ({ spiffe_id: WEB.uri, certificate: pem, ca_bundle: pem, ttl: 86_400, ...more })
const bodyOf = (http: ScriptedHttp) => JSON.parse(String(http.last.body ?? 'null')) as Record<string, unknown>

describe('requests', () => {
  it('of node attestation name the account twice, with token, evidence and CSR, and no certificate', async () => {
    const http = new ScriptedHttp(json(200, issued({ agent_id: 'a-1', workspace_id: TENANT })))
    const evidence = {
      type: 'kubernetes' as const,
      evidence: { psat_token: new Secret('psat'), cluster_name: 'c' },
      joinToken: new Secret('token'),
    }
    const node = await clientOver(http).client.attestNode({ evidence, csrPem: 'CSR' }, SIGNAL)
    expect(node).toMatchObject({ agentId: 'a-1', workspace: true, spiffeId: WEB.uri })
    expect(http.last).toMatchObject({
      method: 'POST',
      url: `${ADDRESS}/v1/node/attest`,
      withoutIdentity: true,
      timeoutMs: 30_000,
      maxBytes: 1_048_576,
    })
    expect(http.last.headers).toMatchObject({ 'x-tenant-id': TENANT, 'content-type': 'application/json' })
    expect(bodyOf(http)).toEqual({
      tenant_id: TENANT,
      workspace_id: TENANT,
      join_token: 'token',
      node_id: 'node-1',
      attestation_type: 'kubernetes',
      evidence: { psat_token: 'psat', cluster_name: 'c' },
      csr: 'CSR',
    })
  })

  it('of node attestation without a token have none, and their evidence is always an object', async () => {
    const http = new ScriptedHttp(json(200, issued({ agent_id: 'a-1' })))
    const node = await clientOver(http).client.attestNode(
      { evidence: { type: 'join_token', evidence: {} }, csrPem: 'CSR' },
      SIGNAL,
    )
    expect(node.workspace).toBe(false)
    expect(bodyOf(http)).not.toHaveProperty('join_token')
    expect(bodyOf(http)['evidence']).toEqual({})
  })

  it('of renewal name the agent by the id of its attestation', async () => {
    const http = new ScriptedHttp(json(200, issued({ ca_chain: [pem] })))
    const { client } = clientOver(http)
    client.learnGeneration(true)
    await client.renewAgent({ agentId: 'a-1', csrPem: 'CSR' }, SIGNAL)
    expect(http.last.url).toBe(`${ADDRESS}/v1/agent/renew`)
    expect(http.last.withoutIdentity).toBe(false)
    expect(bodyOf(http)).toEqual({ agent_id: 'a-1', tenant_id: TENANT, workspace_id: TENANT, csr: 'CSR' })
  })

  it('of entries ask for the agent by its SPIFFE ID, up to 64 MiB', async () => {
    const http = new ScriptedHttp(json(200, { entries: null, total: 3 }))
    const answer = await clientOver(http).client.entries(AGENT, SIGNAL)
    expect(answer).toEqual({ unchanged: false, entries: [], rejected: [] })
    const url = new URL(http.last.url)
    expect(url.pathname).toBe('/spiresvc/v1/entries/by-parent')
    expect(Object.fromEntries(url.searchParams)).toEqual({
      tenant_id: TENANT,
      workspace_id: TENANT,
      parent_id: AGENT.uri,
    })
    expect(http.last.maxBytes).toBe(64 * 1_048_576)
  })

  it('of a workload SVID name the agent by its SPIFFE ID and send the selectors as an object', async () => {
    const http = new ScriptedHttp(
      json(200, { spiffe_id: WEB.uri, certificate: pem, trust_bundle: pem, expires_at: 'lie' }),
    )
    const selectors = new Map([
      ['__proto__', 'x'],
      ['unix:uid', '0'],
    ])
    const answer = await clientOver(http).client.signWorkload({ agent: AGENT, selectors, csrPem: 'CSR' }, SIGNAL)
    expect(answer.bundle).toEqual([ca.der])
    expect(http.last.body).toContain('"selectors":{"__proto__":"x","unix:uid":"0"}')
    expect(bodyOf(http)).toMatchObject({ agent_id: AGENT.uri, tenant_id: TENANT, workspace_id: TENANT, csr: 'CSR' })
  })

  it('of the rest go where they belong', async () => {
    const http = new ScriptedHttp(
      json(200, { message: 'revoked' }),
      json(200, { ca_bundle: pem, tenant_id: TENANT }),
      json(200, { spiffe_id: WEB.uri, token: 'jwt', expires_at: 'x' }),
      json(200, { keys: [{ kty: 'RSA', n: 'n', e: 'AQAB', d: 'private', kid: 'default' }] }),
      json(200, {
        valid: true,
        spiffe_id: WEB.uri,
        sub: WEB.uri,
        audience: ['db'],
        expires_at: '2026-01-01T00:00:10Z',
      }),
    )
    const { client } = clientOver(http)
    await client.revokeWorkload('aa:bb', SIGNAL)
    expect(bodyOf(http)).toEqual({ tenant_id: TENANT, workspace_id: TENANT, serial_number: 'aa:bb' })
    expect(await client.bundle(SIGNAL)).toEqual([ca.der])
    expect(http.last).toMatchObject({ method: 'GET', url: `${ADDRESS}/bundle/${TENANT}`, withoutIdentity: true })
    await client.issueJwt({ spiffeId: WEB, audience: ['db'] }, SIGNAL)
    expect(bodyOf(http)).toMatchObject({ spiffe_id: WEB.uri, audience: ['db'] })
    expect(await client.jwtBundle(SIGNAL)).toEqual([{ kty: 'RSA', n: 'n', e: 'AQAB', kid: 'default' }])
    expect(http.last.url).toBe(`${ADDRESS}/v1/jwt/bundle?tenant_id=${TENANT}&workspace_id=${TENANT}`)
    const validation = await client.validateJwt({ token: new Secret('jwt'), audience: 'db' }, SIGNAL)
    expect(validation).toEqual({ valid: true, spiffeId: WEB.uri })
    expect(bodyOf(http)).toMatchObject({ token: 'jwt', audience: 'db' })
  })
})

describe('answers with certificates', () => {
  it('give the chain without repetitions and the key that the oldest servers make', async () => {
    const key = await rsaKey()
    const other = await TestCa.create('Other', { notBefore: 0, notAfter: 4_000_000_000_000 })
    const http = new ScriptedHttp(
      json(
        200,
        issued({
          ca_bundle: '',
          ca_chain: [pem, other.pem],
          private_key: key.export({ type: 'pkcs1', format: 'pem' }),
        }),
      ),
    )
    const answer = await clientOver(http).client.renewAgent({ agentId: 'a', csrPem: 'CSR' }, SIGNAL)
    expect(answer.chain).toEqual([ca.der, other.der])
    expect(answer.bundle).toEqual([])
    expect(answer.serverKey?.reveal().equals(key)).toBe(true)
  })

  it.each<[string, () => HttpResponse]>([
    ['HTML', () => text(200, '<html>please log in</html>')],
    ['JSON that is cut off', () => text(200, '{"spiffe_id": "spiffe', { 'content-type': 'application/json' })],
    ['nothing', () => text(200, '')],
    ['a list', () => json(200, [])],
    ['null', () => json(200, null)],
    ['a certificate of the wrong type', () => json(200, issued({ certificate: 7 }))],
    ['a certificate without a block', () => json(200, issued({ certificate: 'none' }))],
    ['a broken PEM block', () => json(200, issued({ certificate: pem.slice(0, -30) }))],
    ['no SPIFFE ID', () => json(200, issued({ spiffe_id: '' }))],
    ['a private key that is none', () => json(200, issued({ private_key: 'x' }))],
    ['status 204', () => json(204, null)],
    ['a redirect', () => text(302, '', { location: 'https://user:pass@login.example.org/?code=SECRET' })],
  ])('are refused as %s', async (_name, response) => {
    const http = new ScriptedHttp(response())
    const error = await clientOver(http)
      .client.signWorkload({ agent: AGENT, selectors: new Map(), csrPem: 'CSR' }, SIGNAL)
      .catch((thrown: unknown) => thrown)
    expect(codeOf(error)).toBe('icp.bad_response')
    expect(String(error)).not.toMatch(/SECRET|pass|MII|please/)
    expect(http.requests).toHaveLength(1)
  })

  it('say what kind of answer came instead', async () => {
    const http = new ScriptedHttp(text(200, '<html>'))
    const error = await clientOver(http)
      .client.bundle(SIGNAL)
      .catch((thrown: unknown) => thrown)
    expect((error as AgentError).message).toMatch(/text\/html, 6 bytes/)
  })
})

describe('entries', () => {
  const entry = (more: object = {}) => ({
    id: 'e-1',
    spiffe_id: WEB.uri,
    parent_id: AGENT.uri,
    selectors: { 'unix:uid': '1000' },
    ttl: 600,
    admin: false,
    created_at: '2026-01-01T00:00:00Z',
    ...more,
  })

  it('are parsed once while the body stays the same', async () => {
    const body = json(200, { entries: [entry()], total: 9 })
    const http = new ScriptedHttp(body, body, json(200, { entries: [entry({ ttl: 60 })] }))
    const { client } = clientOver(http)
    const [first, second, third] = [
      await client.entries(AGENT, SIGNAL),
      await client.entries(AGENT, SIGNAL),
      await client.entries(AGENT, SIGNAL),
    ]
    expect([first.unchanged, second.unchanged, third.unchanged]).toEqual([false, true, false])
    expect(second.entries).toBe(first.entries)
    expect(first.entries[0]).toEqual({
      id: 'e-1',
      spiffeId: WEB,
      assigned: true,
      selectors: new Map([['unix:uid', '1000']]),
      ttlSeconds: 600,
      createdAt: Date.parse('2026-01-01T00:00:00Z'),
    })
    expect(third.entries[0]?.ttlSeconds).toBe(60)
  })

  it('of another agent id are not taken for unchanged', async () => {
    const body = json(200, { entries: [entry({ parent_id: '' })] })
    const { client } = clientOver(new ScriptedHttp(body, body))
    await client.entries(AGENT, SIGNAL)
    const other = await client.entries(SpiffeId.parse(`spiffe://${TENANT}/agent/other`), SIGNAL)
    expect(other.unchanged).toBe(false)
    expect(other.entries[0]?.assigned).toBe(false)
  })

  it('that a malformed body has replaced stay as they were for the next comparison', async () => {
    const body = json(200, { entries: [entry()] })
    const { client } = clientOver(new ScriptedHttp(body, text(200, '<html>'), body))
    await client.entries(AGENT, SIGNAL)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch((error: unknown) => error))).toBe('icp.bad_response')
    expect((await client.entries(AGENT, SIGNAL)).unchanged).toBe(true)
  })

  it('without times, selectors or a parent are taken leniently', async () => {
    const bare = { id: 'e-1', spiffe_id: WEB.uri, parent_id: null, selectors: null, ttl: null }
    const { client } = clientOver(new ScriptedHttp(json(200, { entries: [bare] })))
    expect((await client.entries(AGENT, SIGNAL)).entries).toEqual([
      { id: 'e-1', spiffeId: WEB, assigned: false, selectors: new Map(), ttlSeconds: null, createdAt: 0 },
    ])
  })

  it.each<[string, unknown]>([
    ['a malformed SPIFFE ID', entry({ spiffe_id: 'spiffe://ACME/web' })],
    ['the SPIFFE ID of a trust domain', entry({ spiffe_id: 'spiffe://acme.example' })],
    ['another agent as its parent', entry({ parent_id: `spiffe://${TENANT}/agent/other` })],
    ['a selector value beyond 4096 characters', entry({ selectors: { a: 'x'.repeat(4097) } })],
    [
      'more than 64 selectors',
      entry({ selectors: Object.fromEntries(Array.from({ length: 65 }, (_, i) => [`k${i}`, 'v'])) }),
    ],
    ['a selector that is no text', entry({ selectors: { 'unix:uid': 1000 } })],
    ['a selector without a key', entry({ selectors: { '': 'x' } })],
    ['an id beyond 255 characters', entry({ id: 'x'.repeat(256) })],
    ['an id with control characters', entry({ id: 'a\nb' })],
    ['no id', entry({ id: undefined })],
    ['no object', 'entry'],
    ['null', null],
  ])('with %s are rejected alone', async (_name, bad) => {
    const { client, sinks } = clientOver(new ScriptedHttp(json(200, { entries: [bad, entry({ id: 'good' })] })))
    const answer = await client.entries(AGENT, SIGNAL)
    expect(answer.entries.map(({ id }) => id)).toEqual(['good'])
    expect(answer.rejected).toHaveLength(1)
    expect(JSON.stringify(answer.rejected)).not.toMatch(/\\n/)
    // Entry sync logs them, and alone.
    expect(sinks.events('warn')).toEqual([])
  })

  it('with the id of another are rejected, the first one stays', async () => {
    const { client } = clientOver(new ScriptedHttp(json(200, { entries: [entry(), entry({ ttl: 1 })] })))
    const answer = await client.entries(AGENT, SIGNAL)
    expect(answer.entries.map(({ ttlSeconds }) => ttlSeconds)).toEqual([600])
    expect(answer.rejected.map(({ id }) => id)).toEqual(['e-1'])
  })

  it.each([{ entries: {} }, {}, { status: 'ok' }, { total: 0 }, [], null])(
    'that are no list are a bad answer, not an answer without entries: %j',
    async (reply) => {
      const { client } = clientOver(new ScriptedHttp(json(200, reply)))
      expect(codeOf(await client.entries(AGENT, SIGNAL).catch((error: unknown) => error))).toBe('icp.bad_response')
    },
  )

  it('may be null for none', async () => {
    const { client } = clientOver(new ScriptedHttp(json(200, { entries: null, total: 0 })))
    expect((await client.entries(AGENT, SIGNAL)).entries).toEqual([])
  })

  it('are taken where they are very many, and are too large beyond a hundred thousand', async () => {
    const many = (count: number) => json(200, { entries: Array.from({ length: count }, (_, i) => bare(i)) })
    const bare = (i: number) => ({ id: String(i), spiffe_id: WEB.uri })
    const { client } = clientOver(new ScriptedHttp(many(100_000), many(100_001)))
    expect((await client.entries(AGENT, SIGNAL)).entries).toHaveLength(100_000)
    expect(codeOf(await client.entries(AGENT, SIGNAL).catch((error: unknown) => error))).toBe('icp.too_large')
  })
})

describe('secrets', () => {
  it('that the server repeats are cut out of the message, with whatever looks like a token or PEM', async () => {
    const psat = 'header-part.payload-part.signature-part'
    const message = `token join-me-1234 psat ${psat} ${pemFromDer(new Uint8Array(40), 'PRIVATE KEY')} \u001b[31mred\nline`
    const http = new ScriptedHttp(json(401, { error: { code: 'UNAUTHORIZED', message } }))
    const evidence = { ...EVIDENCE, joinToken: new Secret('join-me-1234') }
    const error = (await clientOver(http)
      .client.attestNode({ evidence, csrPem: 'CSR' }, SIGNAL)
      .catch((thrown: unknown) => thrown)) as AgentError
    expect(error.code).toBe('icp.unauthorized')
    const said = error.message + JSON.stringify(error.details)
    expect(said).not.toMatch(/join-me-1234|payload-part|PRIVATE|AAAA|\n/)
    expect(said).not.toContain('\u001b')
    expect(said).toContain('red')
  })
})

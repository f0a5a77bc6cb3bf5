import type { KeyObject } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { createCsr } from '../../agent/crypto/csr.js'
import { pemFromDer } from '../../agent/crypto/pem.js'
import { Secret } from '../../agent/crypto/secret.js'
import type { AgentError } from '../../agent/errors.js'
import { createCommonName } from '../../agent/icp/common-name.js'
import type { IssuedCertificate } from '../../agent/icp/control-plane.js'
import { parseAuthority } from '../../agent/identity/authority.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../agent/identity/verify-svid.js'
import type { Generation } from '../../dev/icp-server/options.js'
import { controlPlaneContract } from '../contract/control-plane.js'
import { rsaKey } from '../fakes/keys.js'
import { serialOf } from './support/dev-icp.js'
import { Servers, type Setup } from './support/icp-client.js'

const SIGNAL = new AbortController().signal
const SELECTORS = { 'unix:uid': '1000', 'unix:path': '/usr/bin/web' }

const servers = new Servers()
afterAll(() => servers[Symbol.asyncDispose]())

for (const generation of ['tenant', 'workspace'] as const) {
  controlPlaneContract(`the client before a ${generation} server`, async () => {
    const setup = await servers.setUp(generation)
    const { icp } = setup
    return {
      plane: setup.client,
      generation,
      tenantId: icp.tenantId,
      nodeId: setup.nodeId,
      now: () => Date.now(),
      serveBundle: () => void icp.setFault({ kind: 'bundle-served' }),
      register: async ({ path, selectors, ttlSeconds }) =>
        icp.createEntry({
          spiffeId: `spiffe://${icp.workloadTrustDomain}${path}`,
          parentId: setup.agent.uri,
          selectors,
          ...(ttlSeconds === undefined ? {} : { ttl: ttlSeconds }),
        }),
      remove: (id) => icp.deleteEntry(id),
      mintToken: async () => new Secret((await icp.createJoinToken()).token),
      present: setup.present,
      [Symbol.asyncDispose]: () => setup[Symbol.asyncDispose](),
    }
  })
}

describe('the ICP client before a server that misbehaves', () => {
  let key: KeyObject
  let setup: Setup
  beforeAll(async () => {
    key = await rsaKey(0)
  })
  afterEach(() => setup[Symbol.asyncDispose]())

  const start = async (generation: Generation) => {
    setup = await servers.setUp(generation)
    setup.icp.requests.clear()
    const joinToken =
      generation === 'workspace' ? { joinToken: new Secret((await setup.icp.createJoinToken()).token) } : {}
    const evidence = { type: 'unix' as const, evidence: { pid: 1, username: 'u', hostname: 'h' }, ...joinToken }
    const csrPem = await createCsr({ key, uri: setup.agent.uri, commonName: 'svid@localhost' })
    setup.present(key, await setup.client.attestNode({ evidence, csrPem }, SIGNAL))
    await setup.icp.createEntry({
      spiffeId: 'spiffe://acme.example/web',
      parentId: setup.agent.uri,
      selectors: SELECTORS,
    })
  }
  const sign = async (commonName = 'svid@localhost', client = setup.client) =>
    await client.signWorkload(
      {
        agent: setup.agent,
        selectors: new Map(Object.entries(SELECTORS)),
        csrPem: await createCsr({ key, uri: 'spiffe://acme.example/web', commonName }),
      },
      SIGNAL,
    )
  const failure = async (call: Promise<unknown>) =>
    (await call.then(
      () => new TypeError('it succeeded'),
      (error: unknown) => error,
    )) as AgentError
  const verify = (issued: IssuedCertificate) =>
    verifyX509Svid({
      chain: issued.chain,
      key: issued.serverKey?.reveal() ?? key,
      expected: SpiffeId.parse('spiffe://acme.example/web'),
      named: issued.spiffeId,
      authorities: issued.bundle.map(parseAuthority),
      now: Date.now(),
    })
  const WORKLOAD = '/v1/workload/attest'

  it('shows no certificate to a tenant server that dies of one, and lives to be answered each time', async () => {
    await start('tenant')
    const issued = await sign()
    expect(verify(issued).spiffeId.path).toBe('/web')
    const leaf = pemFromDer(issued.chain[0] ?? new Uint8Array(), 'CERTIFICATE')
    await setup.client.revokeWorkload(serialOf(leaf), SIGNAL)
    await failure(setup.client.renewAgent({ agentId: 'a', csrPem: '' }, SIGNAL))
    expect((await setup.client.entries(setup.agent, SIGNAL)).entries).toHaveLength(1)
    expect(setup.icp.requests.list().map(({ status }) => status)).toEqual([200, 200, 200, 401, 200])
  })

  it('shows it to a tenant server where that issues JWT-SVIDs, and there alone', async () => {
    await start('tenant')
    const wanted = { spiffeId: SpiffeId.parse('spiffe://acme.example/web'), audience: ['db'] }
    for (let n = 0; n < 2; n++) {
      expect((await setup.client.issueJwt(wanted, SIGNAL)).spiffeId).toBe(wanted.spiffeId.uri)
      expect((await setup.client.entries(setup.agent, SIGNAL)).entries).toHaveLength(1)
    }
    const jwts = setup.icp.requests.list({ endpoint: '/v1/jwt/issue' })
    expect(jwts.map(({ status }) => status)).toEqual([401, 200, 200])
    setup.icp.setFault({ kind: 'tls-ends-before' })
    expect((await failure(setup.client.issueJwt(wanted, SIGNAL))).code).toBe('icp.jwt_unauthorized')
  })

  it('never asks a workspace server without the certificate', async () => {
    await start('workspace')
    setup.icp.setFault({ kind: 'status', status: 500, endpoint: WORKLOAD, times: 1 })
    expect((await failure(sign())).code).toBe('icp.server_error')
    expect(setup.icp.requests.list({ endpoint: WORKLOAD }).map(({ status }) => status)).toEqual([500])
    expect(verify(await sign()).spiffeId.path).toBe('/web')
  })

  it('finds the common name that the PKI accepts', async () => {
    await start('workspace')
    const withCommonName = createCommonName({ mode: 'auto' })
    const tried: string[] = []
    const issued = await withCommonName((name) => {
      tried.push(name)
      return sign(name === 'svid@localhost' ? 'not.allowed.example' : name)
    })
    expect(verify(issued).spiffeId.path).toBe('/web')
    expect(tried.length).toBeGreaterThan(1)
  })

  it.each([true, false])(
    'finds it where what the CA says is wrapped into a 400, with the reason: %s',
    async (reason) => {
      await start('tenant')
      setup.icp.setFault({ kind: 'ca-errors-wrapped', reason })
      const withCommonName = createCommonName({ mode: 'auto' })
      const issued = await withCommonName((name) => sign(name === 'svid@localhost' ? 'not.allowed.example' : name))
      expect(verify(issued).spiffeId.path).toBe('/web')
      const statuses = setup.icp.requests.list({ endpoint: WORKLOAD }).map(({ status }) => status)
      expect(statuses).toEqual([400, 400, 200])
      const code = (await failure(sign('not.allowed.example'))).code
      expect(code).toBe(reason ? 'icp.cn_refused' : 'icp.server_error')
    },
  )

  it('takes a CA that is away for that, though it is wrapped into a 400', async () => {
    await start('tenant')
    setup.icp.setFault({ kind: 'ca-errors-wrapped' })
    setup.icp.setFault({ kind: 'ca-away', endpoint: WORKLOAD })
    expect((await failure(sign())).code).toBe('icp.server_error')
  })

  it.each(['pkcs1', 'pkcs8'] as const)(
    'takes the key that the oldest servers make (%s), which fits the certificate',
    async (format) => {
      await start('tenant')
      setup.icp.setFault({ kind: 'server-key', format })
      const issued = await sign()
      expect(issued.serverKey?.reveal().equals(key)).toBe(false)
      expect(verify(issued).spiffeId.path).toBe('/web')
    },
  )

  it('names a server that drops the CSR', async () => {
    await start('tenant')
    setup.icp.setFault({ kind: 'csr-dropped' })
    expect((await failure(sign())).code).toBe('icp.csr_dropped')
  })

  it('says when to come back after too many requests', async () => {
    await start('workspace')
    setup.icp.setFault({ kind: 'rate-limit', retry_after: 7, endpoint: WORKLOAD, times: 1 })
    expect(await failure(sign())).toMatchObject({ code: 'icp.rate_limited', details: { retryAfterMs: 7000 } })
    setup.icp.setFault({ kind: 'rate-limit', retry_after: null, endpoint: WORKLOAD, times: 1 })
    expect(await failure(sign())).toMatchObject({ code: 'icp.rate_limited', details: { retryAfterMs: 60_000 } })
  })

  it.each([
    ['html', { kind: 'html' }, 'icp.bad_response'],
    ['a truncated body', { kind: 'truncate' }, /icp\.(bad_response|unreachable)/],
    ['an endless body', { kind: 'huge-body' }, 'icp.too_large'],
    ['a dropped connection', { kind: 'drop' }, 'icp.unreachable'],
    ['a CA that is away', { kind: 'ca-away', endpoint: WORKLOAD }, 'icp.server_error'],
  ] as const)('answers %s with an error of its own', async (_name, fault, code) => {
    await start('workspace')
    setup.icp.setFault({ ...fault, endpoint: WORKLOAD })
    expect((await failure(sign())).code).toMatch(code)
  })

  it('gives up on a body that trickles in at its deadline', async () => {
    await start('workspace')
    setup.icp.setFault({ kind: 'slow-body', interval_ms: 1_000, endpoint: WORKLOAD })
    // The body takes minutes.
    const hasty = setup.clientWith({ timeoutMs: 400 })
    expect((await failure(sign('', hasty))).code).toBe('icp.timeout')
  })

  it('repeats what a passing fault has struck', async () => {
    await start('workspace')
    setup.icp.setFault({ kind: 'status', status: 503, endpoint: WORKLOAD, times: 1 })
    setup.icp.setFault({ kind: 'drop', endpoint: WORKLOAD, times: 1 })
    const patient = setup.clientWith({ maxRetries: 2 })
    expect(verify(await sign('svid@localhost', patient)).spiffeId.path).toBe('/web')
  })

  it("reads the server's clock from its answers", async () => {
    await start('workspace')
    // The server names whole seconds, and writes them at some moment of the exchange.
    const skewOf = async () => {
      const began = performance.now()
      await setup.client.jwtBundle(SIGNAL)
      return { skew: setup.client.skew() ?? Number.NaN, most: 2_000 + performance.now() - began }
    }
    const now = await skewOf()
    expect(Math.abs(now.skew)).toBeLessThan(now.most)
    setup.icp.setFault({ kind: 'clock-offset', seconds: 3600 })
    const then = await skewOf()
    expect(Math.abs(then.skew - 3_600_000)).toBeLessThan(then.most)
    expect(setup.sinks.events('warn')).toContain('The clocks of this machine and of the ICP server differ')
  })

  it.each([
    ['wrong-san', 'svid.invalid'],
    ['no-uri', 'svid.invalid'],
    ['two-uris', 'svid.invalid'],
    ['foreign-key', 'svid.invalid'],
    ['other-ca', 'svid.issuer_unknown'],
    ['no-issuer', 'svid.issuer_unknown'],
    ['empty-bundle', 'svid.issuer_unknown'],
    ['not-yet-valid', 'svid.invalid'],
    ['expired', 'svid.invalid'],
    ['ca', 'svid.invalid'],
    ['no-digital-signature', 'svid.invalid'],
    ['other-spiffe-id', 'svid.invalid'],
  ] as const)('a certificate with the flaw %s is never an SVID', async (flaw, code) => {
    await start('tenant')
    setup.icp.setFault({ kind: 'certificate', flaw, endpoint: WORKLOAD })
    const issued = await sign()
    expect(() => verify(issued)).toThrow(expect.objectContaining({ code }))
  })
})

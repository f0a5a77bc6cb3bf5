import type { KeyObject } from 'node:crypto'
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createCsr } from '../../agent/crypto/csr.js'
import { Secret } from '../../agent/crypto/secret.js'
import { codeOf } from '../../agent/errors.js'
import type { AttestedNode, ControlPlane, IssuedCertificate } from '../../agent/icp/control-plane.js'
import { parseAuthority } from '../../agent/identity/authority.js'
import type { Entry } from '../../agent/identity/entry.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../agent/identity/verify-svid.js'
import { rsaKey } from '../fakes/keys.js'

/** A server to run the suite against. */
export interface Subject extends AsyncDisposable {
  readonly plane: ControlPlane
  readonly generation: 'tenant' | 'workspace'
  readonly tenantId: string
  readonly nodeId: string
  /** Wall-clock milliseconds at the server. */
  now(): number
  /** From now on `/bundle/{id}` answers; servers in the field fail there. */
  serveBundle(): void
  /** Registers an entry below the workload trust domain and says what the server made of it. */
  register(entry: { path: string; selectors: Record<string, string>; ttlSeconds?: number }): Promise<{ id: string }>
  remove(id: string): Promise<void>
  mintToken(): Promise<Secret>
  /** What the agent holds from now on and presents as its client certificate. */
  present(key: KeyObject, issued: IssuedCertificate): void
}

const SIGNAL = new AbortController().signal
const SELECTORS = { 'unix:uid': '1000', 'unix:path': '/usr/bin/web' }

/** What holds for every ControlPlane: the one in memory, and the client in front of a server. */
export function controlPlaneContract(name: string, open: () => Promise<Subject>): void {
  describe(`${name} keeps the contract of ControlPlane`, () => {
    let subject: Subject
    let key: KeyObject
    let agent: SpiffeId

    beforeAll(async () => {
      key = await rsaKey(0)
    })
    beforeEach(async () => {
      subject = await open()
      agent = SpiffeId.parse(`spiffe://${subject.tenantId}/agent/${subject.nodeId}`)
    })
    afterEach(() => subject[Symbol.asyncDispose]())

    const csr = (uri: string) => createCsr({ key, uri, commonName: 'svid@localhost' })
    const attest = async (joinToken?: Secret): Promise<AttestedNode> => {
      const token = joinToken ?? (subject.generation === 'workspace' ? await subject.mintToken() : undefined)
      const evidence = {
        type: 'unix' as const,
        evidence: { pid: 1, username: 'root', hostname: 'host' },
        ...(token ? { joinToken: token } : {}),
      }
      return await subject.plane.attestNode({ evidence, csrPem: await csr(agent.uri) }, SIGNAL)
    }
    const attested = async (): Promise<AttestedNode> => {
      const node = await attest()
      subject.present(key, node)
      return node
    }
    const verify = (issued: IssuedCertificate, expected: SpiffeId) =>
      verifyX509Svid({
        chain: issued.chain,
        key,
        expected,
        named: issued.spiffeId,
        authorities: issued.bundle.map(parseAuthority),
        now: subject.now(),
      })
    const synced = async (id: string): Promise<Entry> => {
      const { entries } = await subject.plane.entries(agent, SIGNAL)
      const entry = entries.find((candidate) => candidate.id === id)
      if (!entry) throw new TypeError('the entry did not come')
      return entry
    }

    it('attests the node: an SVID for its SPIFFE ID that verifies against the bundle beside it', async () => {
      const node = await attest()
      expect(node.workspace).toBe(subject.generation === 'workspace')
      expect(node.agentId).not.toBe('')
      const svid = verify(node, agent)
      expect(svid.notAfter).toBeGreaterThan(subject.now())
      expect(svid.serial).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2})*$/)
    })

    it('gives nothing for a join token that was used', async () => {
      if (subject.generation === 'tenant') return expect(await attest()).toBeDefined()
      const token = await subject.mintToken()
      await attest(token)
      expect(codeOf(await attest(token).catch((error: unknown) => error))).toBe('icp.unauthorized')
      expect(codeOf(await attest(new Secret('never-minted')).catch((error: unknown) => error))).toBe('icp.unauthorized')
    })

    it('renews the agent in the workspace API and answers 401 in the tenant API', async () => {
      const { agentId } = await attested()
      const renewal = subject.plane.renewAgent({ agentId, csrPem: await csr(agent.uri) }, SIGNAL)
      if (subject.generation === 'tenant') {
        expect(codeOf(await renewal.catch((error: unknown) => error))).toBe('icp.unauthorized')
      } else {
        expect(verify(await renewal, agent).spiffeId.uri).toBe(agent.uri)
      }
    })

    it('has no entries at first, then those that were registered, then says that nothing changed', async () => {
      await attested()
      expect((await subject.plane.entries(agent, SIGNAL)).entries).toEqual([])
      const { id } = await subject.register({ path: '/web', selectors: SELECTORS })
      const entry = await synced(id)
      expect(entry.spiffeId.path).toBe('/web')
      expect(Object.fromEntries(entry.selectors)).toEqual(SELECTORS)
      expect(entry.assigned).toBe(true)
      const again = await subject.plane.entries(agent, SIGNAL)
      expect(again.unchanged).toBe(true)
      expect(again.entries.map((one) => one.id)).toEqual([id])
      await subject.remove(id)
      const after = await subject.plane.entries(agent, SIGNAL)
      expect(after).toMatchObject({ unchanged: false, entries: [] })
    })

    it('issues what an entry asks for, for as long as it asks', async () => {
      await attested()
      const { id } = await subject.register({ path: '/web', selectors: SELECTORS, ttlSeconds: 600 })
      const entry = await synced(id)
      const issued = await subject.plane.signWorkload(
        { agent, selectors: entry.selectors, csrPem: await csr(entry.spiffeId.uri) },
        SIGNAL,
      )
      const svid = verify(issued, entry.spiffeId)
      expect(svid.notAfter - subject.now()).toBeLessThanOrEqual(610_000)
      expect(svid.notAfter - subject.now()).toBeGreaterThan(500_000)
      await subject.plane.revokeWorkload(svid.serial, SIGNAL)
    })

    it('finds no entry for selectors that none asks for', async () => {
      await attested()
      await subject.register({ path: '/web', selectors: SELECTORS })
      const csrPem = await csr(`spiffe://${subject.tenantId}/web`)
      const call = subject.plane.signWorkload({ agent, selectors: new Map([['unix:uid', '2']]), csrPem }, SIGNAL)
      expect(codeOf(await call.catch((error: unknown) => error))).toBe('icp.no_match')
    })

    it('publishes the authority that signs', async () => {
      const node = await attest()
      subject.serveBundle()
      const authorities = (await subject.plane.bundle(SIGNAL)).map(parseAuthority)
      expect(authorities.map((authority) => authority.fingerprint)).toContain(verify(node, agent).authority)
    })

    it('issues a JWT-SVID for an entry and validates it for its audience alone', async () => {
      await attested()
      const { id } = await subject.register({ path: '/web', selectors: SELECTORS })
      const { spiffeId } = await synced(id)
      const issued = await subject.plane.issueJwt({ spiffeId, audience: ['db'] }, SIGNAL)
      expect(issued.spiffeId).toBe(spiffeId.uri)
      expect(String(issued.token)).toBe('[redacted]')
      const good = await subject.plane.validateJwt({ token: issued.token, audience: 'db' }, SIGNAL)
      expect(good).toMatchObject({ valid: true, spiffeId: spiffeId.uri })
      const other = await subject.plane.validateJwt({ token: issued.token, audience: 'other' }, SIGNAL)
      expect(other.valid).toBe(false)
    })

    it('publishes public JWT keys only', async () => {
      const keys = await subject.plane.jwtBundle(SIGNAL)
      expect(keys.length).toBeGreaterThan(0)
      for (const jwk of keys) {
        expect(jwk).toMatchObject({ kty: 'RSA' })
        expect(jwk).not.toHaveProperty('d')
      }
    })

    it('stops when the signal aborts', async () => {
      const reason = new Error('stop')
      const call = subject.plane.bundle(AbortSignal.abort(reason))
      expect(await call.catch((error: unknown) => error)).toBe(reason)
    })
  })
}

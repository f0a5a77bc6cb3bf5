import { X509Certificate } from 'node:crypto'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import {
  adminCall,
  agentId,
  attestBody,
  attestedAgent,
  type ClientIdentity,
  call,
  csrFor,
  type OpenDevIcp,
  openDevIcp,
  serialOf,
} from '../support/dev-icp.js'

/** A connection of somebody else that is open; `outcome` says what became of it. */
async function held(icp: DevIcp): Promise<AsyncDisposable & { readonly outcome: Promise<'cut'> }> {
  const { hostname, port } = new URL(icp.address)
  const socket = connect({ host: hostname, port: Number(port), ca: icp.caPem })
  socket.on('error', () => undefined)
  await new Promise<void>((resolve) => socket.once('secureConnect', resolve))
  const outcome = new Promise<'cut'>((resolve) => socket.once('close', () => resolve('cut')))
  return { outcome, [Symbol.asyncDispose]: async () => void socket.destroy() }
}

describe('the tenant API', () => {
  let open: OpenDevIcp
  beforeAll(async () => {
    open = await openDevIcp({ generation: 'tenant' })
  })
  afterAll(() => open[Symbol.asyncDispose]())

  test('attests a node without a token, and its certificate carries the URI of the CSR alone', async () => {
    const { icp } = open
    const { status, json } = await call(icp, 'POST', '/v1/node/attest', { body: await attestBody(icp) })
    expect(status).toBe(200)
    expect(json.spiffe_id).toBe(agentId(icp))
    expect(json).not.toHaveProperty('workspace_id')
    const leaf = new X509Certificate(json.certificate)
    const ca = new X509Certificate(json.ca_bundle)
    expect(leaf.verify(ca.publicKey)).toBe(true)
    expect(leaf.subjectAltName).toBe(`email:svid@localhost, URI:${agentId(icp)}`)
    expect(leaf.ca).toBe(false)
    expect(ca.ca).toBe(true)
  })

  test('says 24 hours of a certificate that lives one', async () => {
    const { icp } = open
    const { json } = await call(icp, 'POST', '/v1/node/attest', { body: await attestBody(icp) })
    expect(json.ttl).toBe(86_399)
    const leaf = new X509Certificate(json.certificate)
    expect(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)).toBe(3_630_000)
  })

  test('keeps the id of an agent that attests again', async () => {
    const { icp } = open
    const first = await attestedAgent(icp, 'again')
    const second = await attestedAgent(icp, 'again')
    expect(second.agentId).toBe(first.agentId)
  })

  test.each([
    ['an unknown tenant', { tenant_id: '00000000-0000-4000-8000-000000000000' }, 404],
    ['no evidence', { evidence: undefined }, 400],
    ['evidence of no known type', { attestation_type: 'tpm' }, 401],
    ['a join token as the only evidence', { attestation_type: 'join_token' }, 401],
    ['a PSAT that is none', { attestation_type: 'kubernetes', evidence: { psat_token: 'x' } }, 401],
    ['a node id with a slash', { node_id: 'a/b' }, 400],
    ['a CSR that is none', { csr: 'hello' }, 400],
    ['a number for a name', { node_id: 7 }, 400],
  ])('refuses %s', async (_what, change, status) => {
    const answer = await call(open.icp, 'POST', '/v1/node/attest', { body: await attestBody(open.icp, change) })
    expect(answer.status).toBe(status)
    expect(answer.json.error.code).toBe({ 400: 'BAD_REQUEST', 401: 'UNAUTHORIZED', 404: 'NOT_FOUND' }[status])
  })

  test('accepts a workspace id in place of a tenant id', async () => {
    const body = await attestBody(open.icp, { tenant_id: undefined })
    expect((await call(open.icp, 'POST', '/v1/node/attest', { body })).status).toBe(200)
  })

  test('never renews an agent', async () => {
    const { icp } = open
    const agent = await attestedAgent(icp)
    const body = { agent_id: agent.agentId, tenant_id: icp.tenantId, csr: await csrFor(agentId(icp)) }
    expect((await call(icp, 'POST', '/v1/agent/renew', { body, identity: agent })).status).toBe(401)
  })

  test('names no entries as null', async () => {
    const { icp } = open
    const query = `tenant_id=${icp.tenantId}&parent_id=${encodeURIComponent(agentId(icp, 'nobody'))}`
    const { json } = await call(icp, 'GET', `/v1/entries/by-parent?${query}`)
    expect(json).toEqual({ entries: null, total: 0 })
  })

  test('gives entries to an agent without a certificate, by its word', async () => {
    const { icp } = open
    const own = await icp.createEntry({
      spiffeId: `spiffe://${icp.tenantId}/own`,
      parentId: agentId(icp, 'by-word'),
      selectors: { 'unix:uid': '1' },
      ttl: 60,
    })
    const query = `tenant_id=${icp.tenantId}&parent_id=${encodeURIComponent(agentId(icp, 'by-word'))}`
    const { json } = await call(icp, 'GET', `/v1/entries/by-parent?${query}`)
    expect(json.total).toBe(1)
    expect(json.entries[0]).toMatchObject({ id: own.id, tenant_id: icp.tenantId, ttl: 60, parent_id: own.parentId })
    await icp.deleteEntry(own.id)
  })

  test('dies of a client certificate that reaches an endpoint of agents, with everybody’s connections', async () => {
    const { icp } = open
    const identity = await attestedAgent(icp)
    const query = `tenant_id=${icp.tenantId}&parent_id=${encodeURIComponent(agentId(icp))}`
    for (const [method, path] of [
      ['GET', `/v1/entries/by-parent?${query}`],
      ['POST', '/v1/workload/attest'],
      ['POST', '/v1/workload/revoke'],
    ] as const) {
      await using waiting = await held(icp)
      await expect(call(icp, method, path, { identity, ...(method === 'POST' ? { body: {} } : {}) })).rejects.toThrow()
      expect(await waiting.outcome).toBe('cut')
    }
    expect(icp.requests.count({ status: null })).toBe(3)
    expect((await call(icp, 'GET', `/v1/entries/by-parent?${query}`)).status).toBe(200)
    expect((await call(icp, 'GET', '/health', { identity })).status).toBe(200)
  })

  test('revokes what it issued, again and after the entry is gone, and fails on other serials', async () => {
    const { icp } = open
    const entry = await icp.createEntry({ spiffeId: `spiffe://${icp.tenantId}/web`, selectors: { 'unix:uid': '1' } })
    const body = { tenant_id: icp.tenantId, agent_id: agentId(icp), selectors: { 'unix:uid': '1' } }
    const issued = await call(icp, 'POST', '/v1/workload/attest', {
      body: { ...body, csr: await csrFor(entry.spiffeId) },
    })
    const serial = serialOf(issued.json.certificate)
    const revoke = async (serialNumber: string) =>
      (await call(icp, 'POST', '/v1/workload/revoke', { body: { serial_number: serialNumber } })).status
    expect(await revoke(serial)).toBe(200)
    await icp.deleteEntry(entry.id)
    expect(await revoke(serial)).toBe(200)
    expect(await revoke('aa:bb')).toBe(500)
  })

  describe('attesting a workload', () => {
    const workload = async (change: Readonly<Record<string, unknown>> = {}) => ({
      tenant_id: open.icp.tenantId,
      agent_id: agentId(open.icp),
      selectors: { 'unix:uid': '1000' },
      csr: await csrFor(`spiffe://${open.icp.tenantId}/web`),
      ...change,
    })
    const attest = async (change: Readonly<Record<string, unknown>> = {}, identity?: ClientIdentity) =>
      await call(open.icp, 'POST', '/v1/workload/attest', {
        body: await workload(change),
        ...(identity ? { identity } : {}),
      })

    test('answers 400 where no entry matches', async () => {
      const { status, json } = await attest()
      expect(status).toBe(400)
      expect(json.error.message).toContain('no workload entry matches the provided selectors')
    })

    test('issues for the life of the entry, and the claim is not clamped as the certificate is', async () => {
      const { icp } = open
      const entry = await icp.createEntry({
        spiffeId: `spiffe://${icp.tenantId}/web`,
        selectors: { 'unix:uid': '1000' },
        ttl: 200_000,
      })
      const { status, json } = await attest()
      expect(status).toBe(200)
      expect(json.ttl).toBe(200_000)
      const leaf = new X509Certificate(json.certificate)
      expect(Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)).toBe(86_430_000)
      expect(json.trust_bundle).toBe(icp.issuerPem)
      await icp.deleteEntry(entry.id)
    })

    test('refuses when another agent’s entry wins', async () => {
      const { icp } = open
      const foreign = await icp.createEntry({
        spiffeId: `spiffe://${icp.tenantId}/foreign`,
        parentId: agentId(icp, 'other'),
        selectors: { 'unix:uid': '1000' },
      })
      const { status, json } = await attest()
      expect(status).toBe(400)
      expect(json.error.message).toBe(
        `Attestation failed: agent ${agentId(icp)} is not authorized for workload ${foreign.spiffeId} (expected parent ${foreign.parentId})`,
      )
      await icp.deleteEntry(foreign.id)
    })

    test('refuses a URI outside the account’s trust domain with a 500 that does not say why, and logs the reason', async () => {
      const { icp } = open
      const entry = await icp.createEntry({ spiffeId: 'spiffe://elsewhere/web', selectors: { 'unix:uid': '1000' } })
      const { status, json } = await attest({ csr: await csrFor('spiffe://elsewhere/web') })
      expect(status).toBe(500)
      expect(json.error).toEqual({ code: 'INTERNAL_ERROR', message: 'Failed to issue certificate' })
      expect(icp.requests.list({ status: 500 }).at(-1)?.reason).toContain('not valid for this role')
      await icp.deleteEntry(entry.id)
    })

    test('demands a CSR', async () => {
      const { icp } = open
      const entry = await icp.createEntry({
        spiffeId: `spiffe://${icp.tenantId}/web`,
        selectors: { 'unix:uid': '1000' },
      })
      const { status, json } = await attest({ csr: '' })
      expect(status).toBe(400)
      expect(json.error.message).toMatch(/^Attestation failed: CSR is required/)
      await icp.deleteEntry(entry.id)
    })
  })

  test('fails to publish the issuing CA, although it issues', async () => {
    const { icp } = open
    const { status, json } = await call(icp, 'GET', `/bundle/${icp.tenantId}`)
    expect([status, json.error.message]).toEqual([500, 'Failed to get CA bundle from Vault'])
  })

  test('lets in nobody but the administrator', async () => {
    expect((await call(open.icp, 'GET', '/v1/entries')).status).toBe(401)
    expect((await call(open.icp, 'GET', '/v1/entries', { bearer: 'wrong' })).status).toBe(401)
    expect((await adminCall(open.icp, 'GET', '/v1/entries')).status).toBe(200)
  })
})

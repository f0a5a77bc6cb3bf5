import { X509Certificate } from 'node:crypto'
import { BasicConstraintsExtension, X509Certificate as ParsedCertificate } from '@peculiar/x509'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
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

describe('the workspace API', () => {
  let open: OpenDevIcp
  let agent: ClientIdentity & { agentId: string }
  beforeAll(async () => {
    open = await openDevIcp({ generation: 'workspace', workloadTrustDomain: 'acme.example' })
    agent = await attestedAgent(open.icp)
  })
  afterAll(() => open[Symbol.asyncDispose]())
  beforeEach(() => open.icp.clearFaults())

  const attest = async (change: Readonly<Record<string, unknown>>, bearer?: string) =>
    await call(open.icp, 'POST', '/v1/node/attest', {
      body: await attestBody(open.icp, change),
      ...(bearer === undefined ? {} : { bearer }),
    })

  test('attests a node with a join token in the body or as bearer, and names the workspace', async () => {
    const { token } = await open.icp.createJoinToken()
    const inBody = await attest({ join_token: token })
    expect(inBody.status).toBe(200)
    expect(inBody.json.workspace_id).toBe(open.icp.tenantId)
    const other = await open.icp.createJoinToken()
    expect((await attest({}, other.token)).status).toBe(200)
  })

  test('attests by the join token alone', async () => {
    const { token } = await open.icp.createJoinToken()
    const change = { join_token: token, attestation_type: 'join_token', evidence: undefined }
    expect((await attest(change)).status).toBe(200)
  })

  test('refuses a missing, unknown, used, revoked or foreign token', async () => {
    const { icp } = open
    expect((await attest({})).status).toBe(401)
    expect((await attest({ join_token: 'unknown' })).status).toBe(401)
    const used = await icp.createJoinToken()
    await attest({ join_token: used.token })
    expect((await attest({ join_token: used.token })).status).toBe(401)
    const revoked = await icp.createJoinToken()
    await icp.revokeJoinToken(revoked.id)
    expect((await attest({ join_token: revoked.token })).status).toBe(401)
  })

  test('spares the token of a request that fails on its evidence, its CSR or its workspace', async () => {
    const { token } = await open.icp.createJoinToken()
    const join = { join_token: token }
    expect((await attest({ ...join, attestation_type: 'tpm' })).status).toBe(401)
    expect((await attest({ ...join, csr: 'hello' })).status).toBe(400)
    expect((await attest({ ...join, workspace_id: '00000000-0000-4000-8000-000000000000' })).status).toBe(401)
    expect((await attest({ ...join, workspace_id: open.icp.tenantId.toUpperCase() })).status).toBe(401)
    expect((await attest(join)).status).toBe(200)
  })

  test('burns the token before it issues', async () => {
    const { icp } = open
    const refusedName = await icp.createJoinToken()
    const refused = await attest({ join_token: refusedName.token, csr: await csrFor(agentId(icp), 'node-1') })
    expect(refused.status).toBe(500)
    expect((await attest({ join_token: refusedName.token })).status).toBe(401)
    const away = await icp.createJoinToken()
    icp.setFault({ kind: 'ca-away', times: 1 })
    expect((await attest({ join_token: away.token })).status).toBe(503)
    expect((await attest({ join_token: away.token })).status).toBe(401)
  })

  test('renews an active agent by its certificate', async () => {
    const { icp } = open
    const body = { agent_id: agent.agentId, csr: await csrFor(agentId(icp)) }
    const { status, json } = await call(icp, 'POST', '/v1/agent/renew', { body, identity: agent })
    expect(status).toBe(200)
    expect(json.ttl).toBe(3600)
    expect(json.ca_chain).toEqual([icp.issuerPem])
    // The claim is a day, the certificate an hour.
    const end = Date.parse(new X509Certificate(json.certificate).validTo)
    expect(Date.parse(json.expires_at) - end).toBe(23 * 3_600_000)
    const other = { ...body, agent_id: '00000000-0000-4000-8000-000000000000' }
    expect((await call(icp, 'POST', '/v1/agent/renew', { body: other, identity: agent })).status).toBe(404)
  })

  test('refuses an agent that is not active, until it attests again', async () => {
    const { icp } = open
    const banned = await attestedAgent(icp, 'banned')
    await icp.setAgentStatus(banned.agentId, 'revoked')
    const body = { agent_id: banned.agentId, csr: await csrFor(agentId(icp, 'banned')) }
    expect((await call(icp, 'POST', '/v1/agent/renew', { body, identity: banned })).status).toBe(403)
    await attestedAgent(icp, 'banned')
    expect((await call(icp, 'POST', '/v1/agent/renew', { body, identity: banned })).status).toBe(200)
  })

  test('asks agents for a certificate', async () => {
    for (const [method, path] of [
      ['GET', '/v1/entries/by-parent'],
      ['POST', '/v1/workload/attest'],
      ['POST', '/v1/workload/revoke'],
      ['POST', '/v1/agent/renew'],
      ['POST', '/v1/jwt/issue'],
    ] as const) {
      expect((await call(open.icp, method, path, { ...(method === 'POST' ? { body: {} } : {}) })).status).toBe(401)
    }
  })

  test('lists no entries as an empty list, and hides those of other agents', async () => {
    const { icp } = open
    const entries = () => call(icp, 'GET', '/v1/entries/by-parent', { identity: agent })
    expect((await entries()).json).toEqual({ entries: [], total: 0 })
    const any = await icp.createEntry({ spiffeId: 'spiffe://acme.example/any', selectors: { 'unix:uid': '1' } })
    const own = await icp.createEntry({
      spiffeId: 'spiffe://acme.example/own',
      parentId: agentId(icp),
      selectors: { 'unix:uid': '1' },
    })
    const foreign = await icp.createEntry({
      spiffeId: 'spiffe://acme.example/foreign',
      parentId: agentId(icp, 'other'),
      selectors: { 'unix:uid': '1' },
    })
    expect((await entries()).json.entries.map(({ id }) => id)).toEqual([own.id, any.id])
    expect((await entries()).json.entries[0]).toMatchObject({ workspace_id: icp.tenantId, ttl: null })
    for (const { id } of [any, own, foreign]) await icp.deleteEntry(id)
  })

  test('compares the account and the agent that a request names with the certificate', async () => {
    const get = (query: string) => call(open.icp, 'GET', `/v1/entries/by-parent?${query}`, { identity: agent })
    expect((await get(`workspace_id=${open.icp.tenantId}`)).status).toBe(200)
    expect((await get('workspace_id=00000000-0000-4000-8000-000000000000')).status).toBe(404)
    expect((await get('tenant_id=is-not-read')).status).toBe(200)
    expect((await get('parent_id=spiffe%3A%2F%2Fx%2Fagent%2Fother')).status).toBe(403)
  })

  test('issues workloads in their own trust domain, with exactly the names of the CSR', async () => {
    const { icp } = open
    const entry = await icp.createEntry({ spiffeId: 'spiffe://acme.example/web', selectors: { 'unix:uid': '1' } })
    const attestWorkload = async (uri: string, commonName?: string) =>
      await call(icp, 'POST', '/v1/workload/attest', {
        identity: agent,
        body: { selectors: { 'unix:uid': '1', 'unix:gid': '2' }, csr: await csrFor(uri, commonName) },
      })
    const good = await attestWorkload(entry.spiffeId)
    expect(good.status).toBe(200)
    expect(new X509Certificate(good.json.certificate).subjectAltName).toContain('URI:spiffe://acme.example/web')
    // The CSR decides, not the entry: within the role's trust domain anything passes.
    const other = await attestWorkload('spiffe://acme.example/other')
    expect(other.json.spiffe_id).toBe('spiffe://acme.example/web')
    expect(new X509Certificate(other.json.certificate).subjectAltName).toContain('URI:spiffe://acme.example/other')
    expect((await attestWorkload(`spiffe://${icp.tenantId}/web`)).status).toBe(500)
    // An empty CN makes the CA take the server's own, which the role refuses; localhost passes and adds a DNS name.
    expect((await attestWorkload(entry.spiffeId, '')).status).toBe(500)
    const localhost = await attestWorkload(entry.spiffeId, 'localhost')
    expect(new X509Certificate(localhost.json.certificate).subjectAltName).toContain('DNS:localhost')
    await icp.deleteEntry(entry.id)
  })

  test('answers 404 where no entry matches', async () => {
    const { icp } = open
    const body = { selectors: { 'unix:uid': '404' }, csr: await csrFor('spiffe://acme.example/web') }
    const { status, json } = await call(icp, 'POST', '/v1/workload/attest', { body, identity: agent })
    expect(status).toBe(404)
    expect(json.error.code).toBe('NOT_FOUND')
  })

  test('revokes what the agent itself obtained', async () => {
    const { icp } = open
    const entry = await icp.createEntry({ spiffeId: 'spiffe://acme.example/web', selectors: { 'unix:uid': '1' } })
    const csr = await csrFor(entry.spiffeId)
    const { json } = await call(icp, 'POST', '/v1/workload/attest', {
      identity: agent,
      body: { selectors: { 'unix:uid': '1' }, csr },
    })
    const serial = serialOf(json.certificate)
    const revoke = (identity: ClientIdentity, serialNumber: string) =>
      call(icp, 'POST', '/v1/workload/revoke', { identity, body: { serial_number: serialNumber } })
    const other = await attestedAgent(icp, 'other')
    expect((await revoke(other, serial)).status).toBe(404)
    expect((await revoke(agent, 'aa:bb')).status).toBe(404)
    expect((await revoke(agent, serial)).json).toMatchObject({ serial_number: serial })
    // The record goes with the entry.
    await icp.deleteEntry(entry.id)
    const gone = await revoke(agent, serial)
    expect([gone.status, gone.json.error.message]).toEqual([404, 'Workload SVID not found'])
  })

  test('after a change of the CA knows the old issuer alone for a while, then the new one alone, everywhere', async () => {
    const { icp } = open
    const before = icp.issuerPem
    const entry = await icp.createEntry({ spiffeId: 'spiffe://acme.example/web', selectors: { 'unix:uid': '1' } })
    const after = await icp.rotateCa()
    expect(icp.issuers).toEqual([before, after])
    const renewed = await call(icp, 'POST', '/v1/agent/renew', {
      identity: agent,
      body: { csr: await csrFor(agentId(icp)) },
    })
    expect(new X509Certificate(renewed.json.certificate).verify(new X509Certificate(after).publicKey)).toBe(true)
    const young = { ...agent, certificate: renewed.json.certificate }
    const csr = await csrFor(entry.spiffeId)
    const everywhere = async (identity: ClientIdentity) => {
      const answers = [
        await call(icp, 'GET', '/v1/entries/by-parent', { identity }),
        await call(icp, 'POST', '/v1/agent/renew', { identity, body: { csr: await csrFor(agentId(icp)) } }),
        await call(icp, 'POST', '/v1/workload/attest', { identity, body: { selectors: { 'unix:uid': '1' }, csr } }),
        await call(icp, 'POST', '/v1/jwt/issue', { identity, body: { audience: ['db'] } }),
        await call(icp, 'POST', '/v1/workload/revoke', { identity, body: { serial_number: 'aa:bb' } }),
      ]
      return answers.map(({ status, json }) => (status === 401 ? json.error.message : status))
    }
    const refused = Array(5).fill('Client certificate could not be verified')
    expect(await everywhere(agent)).toEqual([200, 200, 200, 200, 404])
    expect(await everywhere(young)).toEqual(refused)
    icp.lookUpIssuer()
    expect(await everywhere(agent)).toEqual(refused)
    expect(await everywhere(young)).toEqual([200, 200, 200, 200, 404])
    agent = { ...agent, certificate: renewed.json.certificate }
    await icp.deleteEntry(entry.id)
  })

  test('takes an entry in the account’s own trust domain, and never issues a certificate for it, only JWT-SVIDs', async () => {
    const { icp } = open
    const spiffeId = `spiffe://${icp.tenantId}/stranded`
    const created = await adminCall(icp, 'POST', '/v1/entries', { spiffe_id: spiffeId, selectors: { 'unix:uid': '1' } })
    expect(created.status).toBe(201)
    const body = { selectors: { 'unix:uid': '1' }, csr: await csrFor(spiffeId) }
    const { status, json } = await call(icp, 'POST', '/v1/workload/attest', { identity: agent, body })
    expect([status, json.error.message]).toEqual([500, 'Failed to issue certificate'])
    const jwt = await call(icp, 'POST', '/v1/jwt/issue', {
      identity: agent,
      body: { spiffe_id: spiffeId, audience: ['db'] },
    })
    expect(jwt.json.spiffe_id).toBe(spiffeId)
    await icp.deleteEntry(created.json.id)
  })

  test('leaves BasicConstraints out of leaves, unless its roles are told to put it in', async () => {
    const extensionOf = (pem: string) => new ParsedCertificate(pem).getExtension(BasicConstraintsExtension)
    expect(extensionOf(agent.certificate)).toBeNull()
    await using cured = await openDevIcp({ basicConstraints: true })
    expect(extensionOf((await attestedAgent(cured.icp)).certificate)).toMatchObject({ ca: false, critical: true })
  })

  test('keeps entries within the account’s trust domains, with selectors, one per SPIFFE ID', async () => {
    const create = (body: object) => adminCall(open.icp, 'POST', '/v1/entries', body)
    const selectors = { 'unix:uid': '1' }
    expect((await create({ spiffe_id: 'spiffe://elsewhere/web', selectors })).status).toBe(400)
    expect((await create({ spiffe_id: 'spiffe://acme.example/web', selectors: {} })).status).toBe(400)
    expect((await create({ spiffe_id: 'spiffe://acme.example/../web', selectors })).status).toBe(400)
    expect((await create({ spiffe_id: 'spiffe://acme.example/web', selectors, ttl: 0 })).status).toBe(400)
    const created = await create({ spiffe_id: 'spiffe://acme.example/web', selectors })
    expect(created.status).toBe(201)
    expect((await create({ spiffe_id: 'spiffe://acme.example/web', selectors })).status).toBe(409)
    const path = `/v1/entries/${created.json.id}`
    const changed = await adminCall(open.icp, 'PUT', path, {
      spiffe_id: 'spiffe://acme.example/web',
      selectors: { 'unix:uid': '2' },
      ttl: 30,
    })
    expect(changed.json).toMatchObject({ id: created.json.id, ttl: 30, selectors: { 'unix:uid': '2' } })
    expect((await adminCall(open.icp, 'GET', path)).json.ttl).toBe(30)
    expect((await adminCall(open.icp, 'DELETE', path)).status).toBe(200)
    expect((await adminCall(open.icp, 'GET', path)).status).toBe(404)
  })

  test('makes entries of AI agents under the account', async () => {
    const body = { client_id: 'c-1', agent_type: 'crawler', selectors: { 'k8s:ns': 'ai' } }
    const { status, json } = await adminCall(open.icp, 'POST', '/v1/entries/agent', body)
    expect(status).toBe(201)
    expect(json.spiffe_id).toBe(`spiffe://${open.icp.tenantId}/agent/c-1/crawler`)
    expect(json['selectors']).toEqual({
      'k8s:ns': 'ai',
      'authsec:client_id': 'c-1',
      'authsec:agent_type': 'crawler',
      'authsec:workspace_id': open.icp.tenantId,
    })
    expect((await adminCall(open.icp, 'DELETE', `/v1/entries/${json.entry_id}`)).status).toBe(200)
  })

  test('shows a join token’s secret once', async () => {
    const created = await adminCall(open.icp, 'POST', '/v1/join-tokens', { ttl_seconds: 60, description: 'rack 4' })
    expect(created.status).toBe(201)
    expect(created.json.token).not.toBe('')
    const list = await adminCall(open.icp, 'GET', '/v1/join-tokens')
    expect(list.text).toContain('rack 4')
    expect(list.text).not.toContain(created.json.token)
    expect((await adminCall(open.icp, 'POST', '/v1/join-tokens', { ttl_seconds: 8 * 86_400 })).status).toBe(400)
    expect((await adminCall(open.icp, 'DELETE', `/v1/join-tokens/${created.json.id}`)).status).toBe(200)
    expect((await adminCall(open.icp, 'DELETE', `/v1/join-tokens/${created.json.id}`)).status).toBe(404)
  })

  test('lists the agents', async () => {
    const { json } = await adminCall(open.icp, 'GET', '/v1/agents')
    expect(json['agents']).toContainEqual(
      expect.objectContaining({ node_id: 'node-1', status: 'active', spiffe_id: agentId(open.icp) }),
    )
  })
})

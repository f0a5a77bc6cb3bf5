import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { KeyUsageFlags, KeyUsagesExtension, X509Certificate as ParsedCertificate } from '@peculiar/x509'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Flaw } from '../../../dev/icp-server/flaws.js'
import { rsaKey } from '../../fakes/keys.js'
import {
  adminCall,
  agentId,
  attestBody,
  attestedAgent,
  call,
  csrFor,
  type OpenDevIcp,
  openDevIcp,
} from '../support/dev-icp.js'

describe('faults on request', () => {
  let open: OpenDevIcp
  beforeAll(async () => {
    open = await openDevIcp({ generation: 'tenant' })
    await open.icp.createEntry({ spiffeId: `spiffe://${open.icp.tenantId}/web`, selectors: { 'unix:uid': '1' } })
  })
  afterAll(() => open[Symbol.asyncDispose]())
  afterEach(() => open.icp.clearFaults())

  const jwtBundle = () => call(open.icp, 'GET', `/v1/jwt/bundle?tenant_id=${open.icp.tenantId}`)
  const bundle = () => call(open.icp, 'GET', `/bundle/${open.icp.tenantId}`)
  const entries = () =>
    call(open.icp, 'GET', `/v1/entries/by-parent?tenant_id=${open.icp.tenantId}&parent_id=${agentId(open.icp)}`)
  const attestWorkload = async () =>
    await call(open.icp, 'POST', '/v1/workload/attest', {
      body: {
        tenant_id: open.icp.tenantId,
        agent_id: agentId(open.icp),
        selectors: { 'unix:uid': '1' },
        csr: await csrFor(`spiffe://${open.icp.tenantId}/web`),
      },
    })

  test('strike as often as they were asked for, then no more', async () => {
    open.icp.setFault({ kind: 'status', status: 502, times: 2 })
    const statuses = [(await jwtBundle()).status, (await jwtBundle()).status, (await jwtBundle()).status]
    expect(statuses).toEqual([502, 502, 200])
  })

  test('strike one endpoint by its pattern or its path, and administration only by its name', async () => {
    open.icp.setFault({ kind: 'status', endpoint: '/bundle/:id', status: 502 })
    expect((await bundle()).status).toBe(502)
    expect((await entries()).status).toBe(200)
    open.icp.clearFaults()
    open.icp.setFault({ kind: 'status', endpoint: `/bundle/${open.icp.tenantId}`, status: 504 })
    expect((await bundle()).status).toBe(504)
    open.icp.clearFaults()
    open.icp.setFault({ kind: 'status' })
    expect((await adminCall(open.icp, 'GET', '/v1/agents')).status).toBe(200)
    open.icp.setFault({ kind: 'status', endpoint: '/v1/agents' })
    expect((await adminCall(open.icp, 'GET', '/v1/agents')).status).toBe(500)
  })

  test('strike only requests with, or without, a certificate', async () => {
    const identity = await attestedAgent(open.icp)
    open.icp.setFault({ kind: 'status', with_certificate: true })
    const path = `/v1/jwt/bundle?tenant_id=${open.icp.tenantId}`
    expect((await call(open.icp, 'GET', path, { identity })).status).toBe(500)
    expect((await call(open.icp, 'GET', path)).status).toBe(200)
  })

  test('are set, listed and cleared over HTTP by the administrator alone', async () => {
    const { icp } = open
    expect((await call(icp, 'POST', '/dev/faults', { body: { kind: 'html' } })).status).toBe(401)
    const set = await adminCall(icp, 'POST', '/dev/faults', [{ kind: 'html', times: 3 }, { kind: 'drop' }])
    expect(set.status).toBe(201)
    expect(icp.faults.map(({ kind }) => kind)).toEqual(['html', 'drop'])
    const listed = await adminCall(icp, 'GET', '/dev/faults')
    expect(listed.json['faults']).toMatchObject([{ kind: 'html', times: 3, endpoint: '*' }, { kind: 'drop' }])
    await adminCall(icp, 'DELETE', `/dev/faults?id=${icp.faults[0]?.id}`)
    expect(icp.faults.map(({ kind }) => kind)).toEqual(['drop'])
    await adminCall(icp, 'DELETE', '/dev/faults')
    expect(icp.faults).toEqual([])
    expect((await adminCall(icp, 'POST', '/dev/faults', { kind: 'rain' })).status).toBe(400)
    expect((await adminCall(icp, 'POST', '/dev/faults', { kind: 'latency', ms: 1, unknown: 1 })).status).toBe(400)
  })

  test('limit with and without Retry-After, in both forms', async () => {
    open.icp.setFault({ kind: 'rate-limit', times: 1, retry_after: 7 })
    const withHeader = await jwtBundle()
    expect(withHeader.status).toBe(429)
    expect(withHeader.headers['retry-after']).toBe('7')
    expect(withHeader.json.error.code).toBe('RATE_LIMITED')
    open.icp.setFault({ kind: 'rate-limit', times: 1, retry_after: null })
    const without = await jwtBundle()
    expect(without.status).toBe(429)
    expect(without.headers['retry-after']).toBeUndefined()
    expect(without.json.error).toBe('Rate limit exceeded')
  })

  test('drop the connection before or after the request was processed', async () => {
    const { icp } = open
    icp.setFault({ kind: 'drop', times: 1 })
    await expect(jwtBundle()).rejects.toThrow()
    icp.setFault({ kind: 'drop', when: 'after', times: 1 })
    const body = await attestBody(icp, { node_id: 'lost', csr: await csrFor(agentId(icp, 'lost')) })
    await expect(call(icp, 'POST', '/v1/node/attest', { body })).rejects.toThrow()
    expect(icp.agents.map(({ nodeId }) => nodeId)).toContain('lost')
    expect(icp.requests.list({ status: null }).at(-1)?.faults).toEqual(['drop'])
  })

  test('answer HTML, cut JSON, too much JSON, and JSON late', async () => {
    open.icp.setFault({ kind: 'html', times: 1 })
    const html = await jwtBundle()
    expect(html.status).toBe(200)
    expect(html.headers['content-type']).toContain('text/html')
    open.icp.setFault({ kind: 'truncate', times: 1 })
    const cut = await jwtBundle()
    expect(cut.status).toBe(200)
    expect(() => JSON.parse(cut.text)).toThrow()
    open.icp.setFault({ kind: 'truncate', times: 1, bytes: 0 })
    expect((await jwtBundle()).text).toBe('')
    open.icp.setFault({ kind: 'huge-body', times: 1, bytes: 3_000_000 })
    const huge = await jwtBundle()
    expect(huge.text.length).toBe('{"padding":""}'.length + 3_000_000)
    expect(JSON.parse(huge.text)).toHaveProperty('padding')
    open.icp.setFault({ kind: 'slow-body', interval_ms: 1, times: 1, endpoint: '/health' })
    expect((await call(open.icp, 'GET', '/health')).json).toEqual({ status: 'healthy' })
    open.icp.setFault({ kind: 'latency', ms: 80, times: 1 })
    const before = performance.now()
    expect((await jwtBundle()).status).toBe(200)
    expect(performance.now() - before).toBeGreaterThanOrEqual(79)
  })

  test('move the server’s clock, in the Date header and in certificates', async () => {
    open.icp.setFault({ kind: 'clock-offset', seconds: 3600 })
    const { headers, json } = await call(open.icp, 'POST', '/v1/node/attest', { body: await attestBody(open.icp) })
    const ahead = (time: string) => Math.round((Date.parse(time) - Date.now()) / 60_000)
    expect(ahead(String(headers['date']))).toBe(60)
    expect(ahead(new X509Certificate(json.certificate).validFrom)).toBeGreaterThanOrEqual(59)
  })

  test('send the CA away', async () => {
    open.icp.setFault({ kind: 'ca-away' })
    expect((await bundle()).status).toBe(503)
    expect((await attestWorkload()).status).toBe(503)
    expect((await entries()).status).toBe(200)
  })

  test('publish the issuing CA as it was meant, under the account’s id alone', async () => {
    const { icp } = open
    open.icp.setFault({ kind: 'bundle-served' })
    expect((await bundle()).json).toEqual({ ca_bundle: icp.issuerPem, tenant_id: icp.tenantId })
    expect((await call(icp, 'GET', '/bundle/elsewhere')).status).toBe(404)
  })

  test('end TLS before the server: no certificate reaches it, and JWT-SVIDs say so', async () => {
    const { icp } = open
    const identity = await attestedAgent(icp)
    const path = `/v1/entries/by-parent?tenant_id=${icp.tenantId}&parent_id=${agentId(icp)}`
    const body = { spiffe_id: `spiffe://${icp.tenantId}/web`, audience: ['db'] }
    expect((await call(icp, 'POST', '/v1/jwt/issue', { identity, body })).status).toBe(200)
    icp.setFault({ kind: 'tls-ends-before' })
    expect((await call(icp, 'GET', path, { identity })).status).toBe(200)
    const { status, json } = await call(icp, 'POST', '/v1/jwt/issue', { identity, body })
    expect([status, json.error.message]).toEqual([401, 'TLS connection required'])
  })

  test('drop the CSR', async () => {
    open.icp.setFault({ kind: 'csr-dropped' })
    const { status, json } = await attestWorkload()
    expect(status).toBe(400)
    expect(json.error.message).toMatch(/^Attestation failed: CSR is required/)
  })

  test('spoil the list of entries', async () => {
    open.icp.setFault({ kind: 'entries-null', times: 1 })
    expect((await entries()).json).toEqual({ entries: null, total: 1 })
    open.icp.setFault({ kind: 'duplicate-ids', times: 1 })
    const [first, second] = (await entries()).json.entries
    expect(first).toEqual(second)
    open.icp.setFault({ kind: 'malformed-entry', times: 1 })
    expect((await entries()).json.entries.map(({ spiffe_id }) => spiffe_id)[0]).toBe('spiffe://no/../ID')
    open.icp.setFault({ kind: 'malformed-entry', entry: 7, times: 1 })
    expect((await entries()).json.entries[0]).toBe(7)
  })

  test.each(['pkcs8', 'pkcs1'] as const)('make the key at the server and ignore the CSR (%s)', async (format) => {
    open.icp.setFault({ kind: 'server-key', format })
    const { json } = await attestWorkload()
    expect(json.private_key).toContain(format === 'pkcs1' ? 'BEGIN RSA PRIVATE KEY' : 'BEGIN PRIVATE KEY')
    const leaf = new X509Certificate(json.certificate)
    expect(leaf.checkPrivateKey(createPrivateKey(json.private_key))).toBe(true)
    expect(leaf.subjectAltName).toBe(`URI:spiffe://${open.icp.tenantId}/web`)
  })

  describe('spoil a certificate', () => {
    const spoiled = async (flaw: Flaw) => {
      open.icp.setFault({ kind: 'certificate', flaw, times: 1 })
      const { json } = await attestWorkload()
      const ca = new X509Certificate(open.icp.issuerPem)
      return { json, leaf: new X509Certificate(json.certificate), ca, uri: `URI:spiffe://${open.icp.tenantId}` }
    }

    test('by its URI', async () => {
      const wrong = await spoiled('wrong-san')
      expect(wrong.leaf.subjectAltName).toContain(`${wrong.uri}/somebody-else`)
      expect(wrong.leaf.subjectAltName).not.toContain(`${wrong.uri}/web`)
      expect((await spoiled('no-uri')).leaf.subjectAltName).not.toContain('URI:')
      expect((await spoiled('two-uris')).leaf.subjectAltName?.match(/URI:/g)).toHaveLength(2)
    })

    test('by its key', async () => {
      const csrKey = createPublicKey(await rsaKey(0))
      expect((await spoiled('foreign-key')).leaf.publicKey.equals(csrKey)).toBe(false)
      expect(
        (await attestWorkload().then(({ json }) => new X509Certificate(json.certificate))).publicKey.equals(csrKey),
      ).toBe(true)
    })

    test('by its issuer, or by a bundle that lacks it', async () => {
      const stranger = await spoiled('other-ca')
      expect(stranger.leaf.verify(stranger.ca.publicKey)).toBe(false)
      expect(stranger.json.trust_bundle).toBe(open.icp.issuerPem)
      const orphan = await spoiled('no-issuer')
      expect(orphan.leaf.verify(orphan.ca.publicKey)).toBe(true)
      expect(orphan.json.trust_bundle).not.toBe(open.icp.issuerPem)
      expect((await spoiled('empty-bundle')).json.trust_bundle).toBe('')
    })

    test('by its time', async () => {
      expect(Date.parse((await spoiled('not-yet-valid')).leaf.validFrom)).toBeGreaterThan(Date.now() + 3_000_000)
      expect(Date.parse((await spoiled('expired')).leaf.validTo)).toBeLessThan(Date.now() - 3_000_000)
    })

    test('by what it may do', async () => {
      expect((await spoiled('ca')).leaf.ca).toBe(true)
      const usages = (pem: string) => new ParsedCertificate(pem).getExtension(KeyUsagesExtension)?.usages ?? 0
      expect(usages((await attestWorkload()).json.certificate) & KeyUsageFlags.digitalSignature).not.toBe(0)
      const { json } = await spoiled('no-digital-signature')
      expect(usages(json.certificate) & KeyUsageFlags.digitalSignature).toBe(0)
    })

    test('by the SPIFFE ID beside it', async () => {
      const { json, leaf, uri } = await spoiled('other-spiffe-id')
      expect(json.spiffe_id).toBe(`spiffe://${open.icp.tenantId}/somebody-else`)
      expect(leaf.subjectAltName).toContain(`${uri}/web`)
    })
  })

  test('a fault that is disposed is gone', async () => {
    {
      using _fault = open.icp.setFault({ kind: 'status' })
      expect((await jwtBundle()).status).toBe(500)
    }
    expect((await jwtBundle()).status).toBe(200)
  })
})

import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { Agent, get } from 'node:https'
import { connect } from 'node:net'
import { TLSSocket } from 'node:tls'
import { describe, expect, test } from 'vitest'
import { createCsr } from '../../../agent/crypto/csr.js'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { codeOf } from '../../../agent/errors.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startDevIcp } from '../../../dev/icp-server/server.js'
import { FakeClock } from '../../fakes/clock.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { adminCall, agentId, attestBody, attestedAgent, call, csrFor, openDevIcp } from '../support/dev-icp.js'

const TENANT = '11111111-2222-4333-8444-555555555555'

describe('the embedded ICP server', () => {
  test.each(['0.0.0.0:0', '192.168.0.1:0', '[::]:0', 'example.org:0', '127.0.0.1', '127.0.0.1:70000', ''])(
    'does not listen on %j',
    async (listen) => {
      await using files = await TemporaryFiles.create()
      const start = startDevIcp({ clock: new SystemClock(), files, dataDir: files.path('icp'), listen })
      expect(codeOf(await start.catch((error: unknown) => error))).toBe('config.invalid')
    },
  )

  test.each([
    ['localhost:0', /^https:\/\/127\.0\.0\.1:\d+\/spiresvc$/],
    ['127.0.0.9:0', /^https:\/\/127\.0\.0\.9:\d+\/spiresvc$/],
    ['[::1]:0', /^https:\/\/\[::1\]:\d+\/spiresvc$/],
  ])('listens on %s, and its certificate fits', async (listen, address) => {
    await using open = await openDevIcp({ listen })
    expect(open.icp.address).toMatch(address)
    expect((await call(open.icp, 'GET', '/health')).status).toBe(200)
  })

  test('listens beyond loopback only where it is exposed, and its certificate is for that name too', async () => {
    await using open = await openDevIcp({ listen: '0.0.0.0:0', expose: '127.0.0.2' })
    expect(open.icp.address).toMatch(/^https:\/\/127\.0\.0\.2:\d+\/spiresvc$/)
    expect(open.icp.localAddress).toBe(open.icp.address.replace('127.0.0.2', '127.0.0.1'))
    for (const address of [open.icp.address, open.icp.localAddress]) {
      const server = { address, caPem: open.icp.caPem }
      expect((await call(server, 'GET', '/health')).status).toBe(200)
      // Changes want the administrator's token, wherever they come from.
      expect((await call(server, 'POST', '/v1/entries', { body: {} })).status).toBe(401)
    }
  })

  test.each([
    ['example.org:0', 'icp.trial.svc'],
    ['0.0.0.0:0', 'no name'],
    ['0.0.0.0:0', 'https://icp.trial.svc'],
  ])('does not listen on %s as %j', async (listen, expose) => {
    await using files = await TemporaryFiles.create()
    const start = startDevIcp({ clock: new SystemClock(), files, dataDir: files.path('icp'), listen, expose })
    expect(codeOf(await start.catch((error: unknown) => error))).toBe('config.invalid')
  })

  test('keeps what it was told through a restart, and its keys to itself', async () => {
    await using files = await TemporaryFiles.create()
    const options = {
      clock: new SystemClock(),
      files,
      dataDir: files.path('icp'),
      limits: 'off',
      generation: 'workspace',
    } as const
    const before = await startDevIcp({ ...options, tenantId: TENANT.toUpperCase() })
    const agent = await attestedAgent(before)
    const unused = await before.createJoinToken()
    const used = await before.createJoinToken()
    await call(before, 'POST', '/v1/node/attest', { body: await attestBody(before, { join_token: used.token }) })
    const entry = await before.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': '1' } })
    const jwt = await call(before, 'POST', '/v1/jwt/issue', { identity: agent, body: { audience: ['db'] } })
    await before.rotateCa()
    const body = { csr: await csrFor(agentId(before)) }
    const renewed = await call(before, 'POST', '/v1/agent/renew', { identity: agent, body })
    await before[Symbol.asyncDispose]()

    for (const [name, mode] of [
      ['', 0o700],
      ['state.json', 0o600],
      ['admin-token', 0o600],
      ['ca.pem', 0o644],
    ] as const) {
      expect((await stat(files.path('icp', name))).mode & 0o777).toBe(mode)
    }
    await using after = await startDevIcp(options)
    expect(after).toMatchObject({ tenantId: TENANT, adminToken: before.adminToken, caPem: before.caPem })
    expect(after.issuers).toEqual(before.issuers)
    expect(after.entries).toEqual([entry])
    const identity = { ...agent, certificate: renewed.json.certificate }
    expect((await call(after, 'GET', '/v1/entries/by-parent', { identity })).json.total).toBe(1)
    const attest = async (token: string) =>
      await call(after, 'POST', '/v1/node/attest', { body: await attestBody(after, { join_token: token }) })
    expect((await attest(used.token)).status).toBe(401)
    expect((await attest(unused.token)).status).toBe(200)
    const validation = { token: jwt.json.token, audience: 'db' }
    expect((await call(after, 'POST', '/v1/jwt/validate', { body: validation })).json.valid).toBe(true)
  })

  test('refuses a data directory of another account, and one whose state is damaged', async () => {
    await using files = await TemporaryFiles.create()
    const options = { clock: new SystemClock(), files, dataDir: files.path('icp') }
    await (await startDevIcp(options))[Symbol.asyncDispose]()
    const other = await startDevIcp({ ...options, tenantId: TENANT }).catch((error: unknown) => error)
    expect(codeOf(other)).toBe('config.invalid')
    await files.writeAtomically(files.path('icp', 'state.json'), Buffer.from('{"version":1'))
    expect(codeOf(await startDevIcp(options).catch((error: unknown) => error))).toBe('file.io')
  })

  test('issues certificates of a few seconds of which hardly anything lies in the past', async () => {
    await using open = await openDevIcp({ svidTtlSeconds: 20, agentTtlSeconds: 20 })
    const { icp } = open
    const { certificate } = await attestedAgent(icp)
    const leaf = new X509Certificate(certificate)
    const life = (Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)) / 1000
    expect(life).toBeGreaterThanOrEqual(21)
    expect(life).toBeLessThanOrEqual(23)
  })

  test('goes by the clock that it is given: a certificate that has lapsed there is refused', async () => {
    const clock = new FakeClock()
    await using open = await openDevIcp({ clock, generation: 'workspace' })
    const { icp } = open
    const agent = await attestedAgent(icp)
    const entries = () => call(icp, 'GET', '/v1/entries/by-parent', { identity: agent })
    const { headers, status } = await entries()
    expect(status).toBe(200)
    expect(headers['date']).toBe(new Date(clock.now()).toUTCString())
    await clock.advance('61m')
    expect((await entries()).status).toBe(401)
  })

  test('refuses a client certificate of a stranger with the same name', async () => {
    await using open = await openDevIcp({ generation: 'workspace' })
    await using other = await openDevIcp({ generation: 'workspace', tenantId: open.icp.tenantId })
    await attestedAgent(open.icp)
    const stranger = await attestedAgent(other.icp)
    expect((await call(open.icp, 'GET', '/v1/entries/by-parent', { identity: stranger })).status).toBe(401)
  })

  test('sees the client certificate on a resumed TLS session too', async () => {
    await using open = await openDevIcp({ generation: 'workspace' })
    const { icp } = open
    const { certificate, key } = await attestedAgent(icp)
    const agent = new Agent({ ca: icp.caPem, cert: certificate, key: pkcs8Pem(key), keepAlive: false })
    const ask = () =>
      new Promise<{ status: number | undefined; resumed: boolean }>((resolve, reject) => {
        const request = get(`${icp.address}/v1/entries/by-parent`, { agent }, (response) => {
          const { socket } = response
          response.resume()
          response.on('end', () =>
            resolve({
              status: response.statusCode,
              resumed: socket instanceof TLSSocket && socket.isSessionReused(),
            }),
          )
        })
        request.on('error', reject)
      })
    expect(await ask()).toEqual({ status: 200, resumed: false })
    await expect.poll(ask).toEqual({ status: 200, resumed: true })
    agent.destroy()
  })

  test('limits each client address by the tiers, and all of its requests by the window', async () => {
    const clock = new FakeClock()
    await using open = await openDevIcp({ clock, limits: 'faithful' })
    const { icp } = open
    const entries = (from: string) =>
      call(icp, 'GET', `/v1/entries/by-parent?tenant_id=${icp.tenantId}&parent_id=${agentId(icp)}`, { from })
    const statuses = async (count: number, ask: () => Promise<{ status: number }>) => {
      const seen: number[] = []
      for (let i = 0; i < count; i++) seen.push((await ask()).status)
      return seen
    }
    expect(await statuses(10, () => entries('127.0.0.1'))).toEqual(Array(10).fill(200))
    const limited = await entries('127.0.0.1')
    expect(limited.status).toBe(429)
    expect(limited.headers['retry-after']).toBe('60')
    expect(limited.json.error.code).toBe('RATE_LIMITED')
    expect((await entries('127.0.0.2')).status).toBe(200)
    await clock.advance('4s')
    expect(await statuses(3, () => entries('127.0.0.1'))).toEqual([200, 200, 429])

    const health = () => call(icp, 'GET', '/health', { from: '127.0.0.3' })
    expect(new Set(await statuses(100, health))).toEqual(new Set([200]))
    const full = await health()
    expect(full.status).toBe(429)
    expect(full.headers['retry-after']).toBeUndefined()
    expect(full.json.error).toBe('Rate limit exceeded')
    expect((await adminCall(icp, 'POST', '/dev/limits', { mode: 'off' })).status).toBe(200)
    expect((await health()).status).toBe(200)
  })

  test('counts a node attestation as bootstrap, and spends nothing on who may not call', async () => {
    const clock = new FakeClock()
    await using open = await openDevIcp({ clock, limits: 'faithful', generation: 'workspace' })
    const { icp } = open
    const agent = await attestedAgent(icp)
    for (let i = 0; i < 12; i++) expect((await call(icp, 'GET', '/v1/entries/by-parent')).status).toBe(401)
    expect((await call(icp, 'GET', '/v1/entries/by-parent', { identity: agent })).status).toBe(200)
    const attest = async () => (await call(icp, 'POST', '/v1/node/attest', { body: await attestBody(icp) })).status
    for (let i = 0; i < 19; i++) expect(await attest()).toBe(401)
    expect(await attest()).toBe(429)
  })

  test('says what was asked of it', async () => {
    const seen: string[] = []
    await using open = await openDevIcp({ onRequest: ({ endpoint, status }) => seen.push(`${endpoint} ${status}`) })
    const { icp } = open
    const identity = await attestedAgent(icp)
    await call(icp, 'GET', `/bundle/${icp.tenantId}`, { headers: { 'x-tenant-id': icp.tenantId } })
    await call(icp, 'GET', '/nowhere')
    await call(icp, 'POST', '/v1/agent/renew', { rawBody: '{', identity })
    expect(seen).toEqual(['/v1/node/attest 200', '/bundle/:id 500', '/nowhere 404', '/v1/agent/renew 400'])
    expect(icp.requests.count()).toBe(4)
    expect(icp.requests.count({ endpoint: '/bundle/:id' })).toBe(1)
    expect(icp.requests.list({ endpoint: '/bundle/:id' })).toMatchObject([{ account: icp.tenantId, ip: '127.0.0.1' }])
    expect((await adminCall(icp, 'GET', '/dev/requests')).json['requests']).toMatchObject({ 'GET /nowhere': 1 })
    icp.requests.clear()
    expect(icp.requests.count()).toBe(0)
  })

  test('revokes an agent over HTTP, and makes it active again', async () => {
    await using open = await openDevIcp({ generation: 'workspace' })
    const { icp } = open
    const identity = await attestedAgent(icp)
    const set = (status: string) => adminCall(icp, 'POST', `/dev/agents/${identity.agentId}`, { status })
    expect((await set('revoked')).status).toBe(200)
    const { status, json } = await call(icp, 'GET', '/v1/entries/by-parent', { identity })
    expect([status, json.error.message]).toEqual([403, 'Agent is not active'])
    expect((await set('active')).status).toBe(200)
    expect((await call(icp, 'GET', '/v1/entries/by-parent', { identity })).status).toBe(200)
    expect((await set('dead')).status).toBe(400)
    expect((await adminCall(icp, 'POST', '/dev/agents/unknown', { status: 'revoked' })).status).toBe(404)
  })

  test('knows a new CA in client certificates once the time for which it keeps the issuer is over', async () => {
    const clock = new FakeClock()
    await using open = await openDevIcp({ clock, generation: 'workspace', issuerCacheSeconds: 120 })
    const { icp } = open
    const identity = await attestedAgent(icp)
    const entries = async () => (await call(icp, 'GET', '/v1/entries/by-parent', { identity })).status
    await icp.rotateCa()
    await clock.advance('119s')
    expect(await entries()).toBe(200)
    await clock.advance('1s')
    expect(await entries()).toBe(401)
  })

  test('rotates its CA over HTTP', async () => {
    await using open = await openDevIcp()
    const { json } = await adminCall(open.icp, 'POST', '/dev/rotate-ca')
    expect(json.ca_bundle).toBe(open.icp.issuerPem)
    expect(json['generations']).toBe(2)
  })

  test('takes thousands of entries at once', async () => {
    await using open = await openDevIcp()
    const { icp } = open
    await Promise.all(
      Array.from({ length: 5000 }, (_, i) =>
        icp.createEntry({ spiffeId: `spiffe://${icp.tenantId}/w/${i}`, selectors: { 'unix:uid': String(i) } }),
      ),
    )
    const query = `tenant_id=${icp.tenantId}&parent_id=${agentId(icp)}`
    expect((await call(icp, 'GET', `/v1/entries/by-parent?${query}`)).json.total).toBe(5000)
    const page = await adminCall(icp, 'GET', '/v1/entries?limit=2&offset=1')
    expect(page.json.entries.map(({ spiffe_id }) => spiffe_id.split('/').at(-1))).toEqual(['4998', '4997'])
    expect(page.json.total).toBe(5000)
  })

  test('refuses a body that is too large, and a path outside its base', async () => {
    await using open = await openDevIcp()
    const { icp } = open
    const rawBody = ' '.repeat(1_100_000)
    expect((await call(icp, 'POST', '/v1/node/attest', { rawBody })).status).toBe(413)
    const outside = { address: icp.address.replace('/spiresvc', ''), caPem: icp.caPem }
    expect((await call(outside, 'GET', '/health')).status).toBe(404)
  })

  test('stops while a fault holds an answer back and a connection says nothing', async () => {
    const open = await openDevIcp()
    open.icp.setFault({ kind: 'latency', ms: 3_600_000 })
    const held = call(open.icp, 'GET', '/health').catch((error: unknown) => error)
    const silent = connect(Number(new URL(open.icp.address).port), '127.0.0.1')
    await new Promise((resolve) => silent.once('connect', resolve))
    await expect.poll(() => open.icp.faults.length).toBe(1)
    await new Promise((resolve) => setTimeout(resolve, 50))
    await open[Symbol.asyncDispose]()
    expect(await held).toBeInstanceOf(Error)
    silent.destroy()
  })

  test('does not answer a CSR whose key it refuses', async () => {
    await using open = await openDevIcp()
    const { icp } = open
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
    const csr = await createCsr({ key: privateKey, uri: agentId(icp), commonName: 'svid@localhost' })
    expect((await call(icp, 'POST', '/v1/node/attest', { body: await attestBody(icp, { csr }) })).status).toBe(500)
    const good = await csrFor(agentId(icp))
    const forged = good.replace(/(.{8})\n-----END/, (_all, tail: string) => `${[...tail].reverse().join('')}\n-----END`)
    expect((await call(icp, 'POST', '/v1/node/attest', { body: await attestBody(icp, { csr: forged }) })).status).toBe(
      400,
    )
  })
})

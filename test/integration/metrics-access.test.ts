import { X509Certificate } from 'node:crypto'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { request as plainRequest } from 'node:http'
import { request } from 'node:https'
import { connect as connectPlain } from 'node:net'
import { join } from 'node:path'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent, startServer, TENANT, temporaryDirectory } from '../support/agent.js'
import { until } from '../support/until.js'
import { credentials, newCa } from './support/https-server.js'

interface Answer {
  readonly status: number
  readonly body: string
  readonly peer: PeerCertificate | null
  readonly challenge: string | undefined
}

let dir: Awaited<ReturnType<typeof temporaryDirectory>>
let server: DevIcp
beforeAll(async () => {
  dir = await temporaryDirectory()
  server = await startServer(join(dir.path, 'icp'))
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  await dir[Symbol.asyncDispose]()
})

async function started(name: string, settings: Readonly<Record<string, string>>) {
  const agent = await startAgent({
    dir: join(dir.path, name),
    server,
    settings: { HEALTH__ENABLED: 'true', HEALTH__PORT: '0', ...settings },
  })
  const { port } = await agent.logged('Health server started')
  return { agent, port: Number(port) }
}

/** Never rejects for what TLS or the server says: that is what is looked at. */
function get(port: number, options: { readonly ca?: string; readonly token?: string; readonly path?: string } = {}) {
  const headers = options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }
  const where = { host: '127.0.0.1', port, path: options.path ?? '/metrics', headers, agent: false }
  const trust = options.ca === undefined ? { rejectUnauthorized: false } : { ca: options.ca }
  return new Promise<Answer>((resolve, reject) => {
    const ask = request({ ...where, ...trust }, (response) => {
      const peer = (response.socket as TLSSocket).getPeerCertificate(true)
      let body = ''
      response.on('data', (part) => {
        body += part
      })
      const { statusCode: status = 0, headers: told } = response
      response.on('end', () => resolve({ status, body, peer, challenge: told['www-authenticate'] }))
    })
    ask.on('error', reject)
    ask.end()
  })
}

describe('health.tls: svid', () => {
  let agent: RunningAgent
  let port: number
  beforeAll(async () => {
    ;({ agent, port } = await started('svid', { HEALTH__TLS: 'svid' }))
  })
  afterAll(() => agent[Symbol.asyncDispose]())

  it("serves with the agent's own SVID, and with nothing before it has one", async () => {
    await until(() => get(port).catch(() => null))
    const { status, body, peer } = await get(port)
    expect([status, body.includes('icp_agent_info')]).toEqual([200, true])
    expect(new X509Certificate(peer?.raw ?? Buffer.alloc(0)).subjectAltName).toContain(`URI:spiffe://${TENANT}/`)
    expect((await get(port, { path: '/ready' })).status).toBeLessThan(504)
  })

  it('answers nobody in clear text', async () => {
    const answer = new Promise<number>((resolve, reject) => {
      plainRequest({ host: '127.0.0.1', port, path: '/metrics' }, ({ statusCode = 0 }) => resolve(statusCode))
        .on('error', reject)
        .end()
    })
    await expect(answer).rejects.toThrow()
  })

  it('closes those who say nothing, and answers others meanwhile', async () => {
    const silent = Array.from({ length: 20 }, () => connectPlain(port, '127.0.0.1'))
    const closed = silent.map(
      (socket) => new Promise((resolve) => socket.on('error', () => undefined).on('close', resolve)),
    )
    expect((await get(port)).status).toBe(200)
    await Promise.all(closed)
  })
})

describe('health.tls: files, with a bearer token', () => {
  let agent: RunningAgent
  let port: number
  const at = (name: string) => join(dir.path, name)
  const put = (name: string, text: string) => {
    writeFileSync(at(`${name}.new`), text)
    renameSync(at(`${name}.new`), at(name))
  }
  beforeAll(async () => {
    ;({ agent, port } = await started('files', {
      HEALTH__TLS: 'files',
      HEALTH__TLS_CERT_PATH: at('health.pem'),
      HEALTH__TLS_KEY_PATH: at('health.key'),
      METRICS__BEARER_TOKEN_PATH: at('token'),
    }))
  })
  afterAll(() => agent[Symbol.asyncDispose]())

  it('serves as soon as the files are there, and says what is wrong until then', async () => {
    await agent.logged('Reread file cannot be used; its last good content stays in force')
    await expect(get(port)).rejects.toThrow()
    const ca = await newCa('health')
    const first = await credentials(ca, { names: [{ type: 'ip', value: '127.0.0.1' }] })
    put('health.pem', first.certificate)
    await expect(get(port)).rejects.toThrow()
    put('health.key', first.key)
    await until(() => get(port, { ca: ca.pem, path: '/healthz' }).catch(() => null))
    // A key of another certificate replaces nothing; the certificate that fits does.
    const next = await credentials(ca, { names: [{ type: 'ip', value: '127.0.0.1' }] })
    const serial = async () => (await get(port, { ca: ca.pem, path: '/healthz' })).peer?.serialNumber
    const before = await serial()
    put('health.key', next.key)
    await agent.logged('Reread file cannot be used; its last good content stays in force', ({ error }) =>
      JSON.stringify(error ?? '').includes('not a certificate and its key'),
    )
    expect(await serial()).toBe(before)
    put('health.pem', next.certificate)
    await until(async () => (await serial()) !== before)
  })

  it('shows metrics to who has the token alone, and everything else as before', async () => {
    const code = async (token?: string) => (await get(port, token === undefined ? {} : { token })).status
    expect(await code('s3cret')).toBe(503)
    put('token', 's3cret\n')
    await until(async () => (await code('s3cret')) === 200)
    expect([await code(), await code('s3cre')]).toEqual([401, 403])
    expect((await get(port)).challenge).toBe('Bearer realm="icp-agent"')
    expect((await get(port, { path: '/metrics/' })).status).toBe(401)
    expect((await get(port, { path: '/livez' })).status).toBe(200)
    put('token', 'another')
    await until(async () => (await code('another')) === 200)
    expect(await code('s3cret')).toBe(403)
    rmSync(at('token'))
    await until(async () => (await code('another')) === 503)
    expect(JSON.stringify(agent.lines)).not.toMatch(/s3cret|another/)
  })

  it('asks no token on health.sock, which only the user of the agent can open', async () => {
    const status = await new Promise<number>((resolve, reject) => {
      plainRequest({ socketPath: join(agent.dataDir, 'health.sock'), path: '/metrics' }, ({ statusCode = 0 }) =>
        resolve(statusCode),
      )
        .on('error', reject)
        .end()
    })
    expect(status).toBe(200)
  })
})

import { type ChildProcess, spawn } from 'node:child_process'
import { copyFileSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Server } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { freePort } from '../support/free-port.js'
import { until } from '../support/until.js'
import { Environment, TRUST_DOMAIN } from './support/environment.js'
import { GHOSTUNNEL, ghostunnelProgram, ghostunnelToolchain } from './support/ghostunnel.js'

const { missing } = ghostunnelToolchain()
const ROLES = ['server', 'client', 'stranger'] as const
const ROTATIONS = 3
const idOf = (role: string) => `spiffe://${TRUST_DOMAIN}/${role}`
const title = missing === null ? `ghostunnel ${GHOSTUNNEL}` : `ghostunnel (skipped: ${missing})`

/** Two tunnels as docs/proxies.md starts them: a program that knows no TLS talks to another one by mTLS. */
describe.skipIf(missing !== null)(title, () => {
  let environment: Environment
  let echo: Server
  const tunnels: ChildProcess[] = []

  beforeAll(async () => {
    const program = await ghostunnelProgram()
    environment = await Environment.open({ server: { svidTtlSeconds: 12 }, settings: { SYNC__INTERVAL: '30s' } })
    for (const entry of environment.server.entries) await environment.server.deleteEntry(entry.id)
    for (const role of ROLES) {
      const path = join(environment.dir, role)
      copyFileSync(program, path)
      await environment.server.createEntry({ spiffeId: idOf(role), selectors: { 'unix:path': path } })
    }
    await environment.agent.kill()
    await environment.agent.start()
    echo = createServer((socket) => socket.on('error', () => socket.destroy()).pipe(socket))
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve))
  })

  afterAll(async () => {
    for (const tunnel of tunnels) {
      if (tunnel.exitCode !== null) continue
      const ended = new Promise((resolve) => tunnel.once('exit', resolve))
      tunnel.kill('SIGKILL')
      await ended
    }
    echo?.close()
    await environment?.[Symbol.asyncDispose]()
  })

  /** Starts a tunnel from the copy of that name; resolves with its port. */
  const tunnel = async (role: string, mode: string, target: number, ...peers: readonly string[]): Promise<number> => {
    const port = await freePort()
    const args = [`--listen=127.0.0.1:${port}`, `--target=127.0.0.1:${target}`, ...peers]
    const api = `--use-workload-api-addr=${environment.agent.address}`
    tunnels.push(spawn(join(environment.dir, role), [mode, ...args, api, '--quiet=all'], { stdio: 'ignore' }))
    await until(() => opens(port), { what: `${role} listens` })
    return port
  }
  const serve = (target: number) => tunnel('server', 'server', target, `--allow-uri=${idOf('client')}`)
  const through = (role: string, port: number, peer = idOf('server')) =>
    tunnel(role, 'client', port, `--verify-uri=${peer}`)

  it('loses no request while SVIDs rotate and the agent is killed and started again', async () => {
    const server = await serve((echo.address() as AddressInfo).port)
    const client = await through('client', server)
    await until(() => echoes(client), { what: 'the first answer' })
    const serials = new Set<string>()
    let failed = 0
    let asked = 0
    const ask = async () => {
      asked += 1
      if (!(await echoes(client))) failed += 1
      serials.add(await serialOf(server))
      await sleep(50)
    }
    while (serials.size <= ROTATIONS) await ask()
    await environment.agent.kill()
    for (let i = 0; i < 20; i++) await ask()
    await environment.agent.start()
    const before = serials.size
    while (serials.size <= before + 1) await ask()
    expect(failed).toBe(0)
    expect(asked).toBeGreaterThan(100)
  })

  it('lets nobody through with another SPIFFE ID, and trusts no server with another one', async () => {
    const server = await serve((echo.address() as AddressInfo).port)
    const [friend, stranger] = [await through('client', server), await through('stranger', server)]
    const misled = await through('client', server, idOf('other'))
    await until(() => echoes(friend), { what: 'who is allowed is answered' })
    expect([await echoes(stranger), await echoes(misled)]).toEqual([false, false])
  })
})

function opens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

/** Whether what is sent comes back. */
function echoes(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    let received = ''
    const socket = connect(port, '127.0.0.1', () => socket.write('hello'))
    socket.on('data', (chunk) => {
      received += chunk
      if (received === 'hello') socket.end()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => resolve(received === 'hello'))
  })
}

/** The serial of the certificate that a server shows; it may refuse this client after that. */
function serialOf(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false })
    let serial = ''
    socket.on('error', () => undefined)
    socket.on('secureConnect', () => {
      serial = socket.getPeerCertificate().serialNumber
      socket.destroy()
    })
    socket.on('close', () => (serial === '' ? reject(new Error('no certificate was shown')) : resolve(serial)))
  })
}

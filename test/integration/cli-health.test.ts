import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asNobody, canBecomeNobody } from '../fakes/other-user.js'
import { icpAgent } from '../support/terminal.js'

let server: Server
let url: string
let answer: { status: number; body: string } | null
let greeting: object | null
let whole: { status: string; reasons: readonly string[] }

beforeEach(async () => {
  answer = { status: 200, body: '{"ready":true}' }
  greeting = null
  whole = { status: 'healthy', reasons: [] }
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost')
    if (pathname === '/ready' && answer) response.writeHead(answer.status).end(answer.body)
    if (pathname === '/healthz') response.writeHead(whole.status === 'unhealthy' ? 503 : 200).end(JSON.stringify(whole))
    if (pathname === '/') response.writeHead(greeting ? 200 : 404).end(JSON.stringify(greeting))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ready`
})
afterEach(() => {
  server.closeAllConnections()
  server.close()
})

describe('healthcheck', () => {
  test('exits 0 where the agent is ready', async () => {
    expect(await icpAgent(['healthcheck', '--url', url])).toEqual({ code: 0, stdout: 'ready\n', stderr: '' })
  })

  test('exits 1 and gives the reasons where it is not', async () => {
    answer = { status: 503, body: '{"ready":false,"reasons":["no entries yet","\\u001b[2J"]}' }
    const { code, stdout } = await icpAgent(['healthcheck', '--url', url])
    expect([code, stdout]).toEqual([1, 'not ready: no entries yet; \\u001b[2J\n'])
  })

  test('exits 1 for an answer that is none of ours', async () => {
    answer = { status: 500, body: '<html>' }
    expect((await icpAgent(['healthcheck', '--url', url])).code).toBe(1)
  })

  test('does not wait for ever', async () => {
    answer = null
    const { code, stdout } = await icpAgent(['healthcheck', '--url', url, '--timeout', '100ms'])
    expect(code).toBe(1)
    expect(stdout).toContain('no answer within 0.1 s')
  })

  test('exits 1 where nobody listens', async () => {
    expect((await icpAgent(['healthcheck', '--url', 'http://127.0.0.1:1/ready'])).code).toBe(1)
  })

  test('says what is degraded besides', async () => {
    whole = { status: 'degraded', reasons: ['the ICP server is away', 'x\u001b'] }
    const { code, stdout } = await icpAgent(['healthcheck', '--url', url])
    expect([code, stdout]).toEqual([0, 'ready, but degraded: the ICP server is away; x\\u001b\n'])
  })

  test('--live asks /healthz, whatever path the address names', async () => {
    answer = { status: 503, body: '{"ready":false,"reasons":["no entries yet"]}' }
    expect(await icpAgent(['healthcheck', '--live', '--url', url])).toMatchObject({ code: 0, stdout: 'alive\n' })
    whole = { status: 'unhealthy', reasons: ['the socket is gone'] }
    expect(await icpAgent(['healthcheck', '--live', '--url', url])).toMatchObject({
      code: 1,
      stdout: 'not alive: the socket is gone\n',
    })
  })

  describe('with a configuration', () => {
    const TENANT = '11111111-2222-4333-8444-555555555555'
    let directory: string
    let config: string
    /** Where the directory of the data lies in that of the socket, health is not served on a socket. */
    const configured = (more: object) =>
      writeFile(
        config,
        JSON.stringify({
          health: { port: Number(new URL(url).port), bind_address: '0.0.0.0' },
          agent: { tenant_id: TENANT, node_id: 'node', data_dir: directory, socket_path: `${directory}/agent.sock` },
          ...more,
        }),
      )
    beforeEach(async () => {
      directory = await mkdtemp(join(tmpdir(), 'icp-'))
      config = join(directory, 'config.yaml')
    })
    afterEach(() => rm(directory, { recursive: true }))

    test('asks its port, however broken the rest of it is', async () => {
      await configured({ agent: { tenant_id: 'x', data_dir: directory, socket_path: `${directory}/agent.sock` } })
      expect(await icpAgent(['healthcheck', '-c', config])).toMatchObject({ code: 0 })
      await writeFile(config, 'health:\n  enabled: false\n')
      expect(await icpAgent(['healthcheck', '-c', config])).toMatchObject({ code: 2 })
    })

    test('says that the file that was named is not there, and how to name another agent', async () => {
      const ran = await icpAgent(['healthcheck', '-c', config, '--url', 'http://127.0.0.1:1/ready'])
      expect(ran).toMatchObject({ code: 1, stdout: expect.stringContaining('-c FILE or --url URL names another one') })
      expect(ran.stderr).toBe(`${config} does not exist, so only environment variables count\n`)
    })

    test.each([
      ['the agent that is meant', { tenant_id: TENANT, node_id: 'node' }, 0, 'ready\n'],
      ['an agent of another node', { tenant_id: TENANT, node_id: 'other' }, 1, 'another agent'],
      ['an agent of another account', { tenant_id: 'else', node_id: 'node' }, 1, 'another agent'],
      ['another program', null, 1, 'something else than an agent'],
    ])('believes at a port %s, or not', async (_who, names, code, text) => {
      greeting = names
      await configured({})
      for (const args of [[], ['--url', url]]) {
        const ran = await icpAgent(['healthcheck', '-c', config, ...args])
        expect(ran.code).toBe(code)
        expect(ran.stdout).toContain(text)
      }
    })

    test.skipIf(!canBecomeNobody)('asks the port where this user may not open the socket', async () => {
      const socketPath = join(directory, 'health.sock')
      await new Promise<void>((resolve) => server.close(() => server.listen(socketPath, resolve)))
      const source = `
        import { askHealth } from '../../agent/main/ask-health.js'
        const [socketPath] = process.argv.slice(2)
        const socket = { url: new URL('http://localhost'), socketPath, expected: null }
        const port = { url: new URL('http://127.0.0.1:1'), socketPath: null, expected: null }
        const { signal } = new AbortController()
        console.log(JSON.stringify(await askHealth([socket, port], '/ready', 20_000, signal)))`
      expect(asNobody(import.meta.dirname, source, [socketPath])).toMatchObject({
        trouble: expect.stringContaining('no agent answers at http://127.0.0.1:1/ready'),
      })
    })

    test('asks the socket, and believes nobody at the port where it may', async () => {
      greeting = { tenant_id: TENANT, node_id: 'node' }
      const data = { tenant_id: TENANT, node_id: 'node', data_dir: directory, socket_path: '/run/none/agent.sock' }
      await configured({ agent: data })
      const absent = await icpAgent(['healthcheck', '-c', config])
      expect([absent.code, absent.stdout]).toEqual([1, expect.stringContaining(join(directory, 'health.sock'))])
      await new Promise<void>((resolve) => server.close(() => server.listen(join(directory, 'health.sock'), resolve)))
      expect(await icpAgent(['healthcheck', '-c', config])).toMatchObject({ code: 0, stdout: 'ready\n' })
    })
  })

  test('only asks over http', async () => {
    for (const wrong of ['ftp://x/', 'nonsense', 'file:///etc/passwd']) {
      expect(await icpAgent(['healthcheck', '--url', wrong])).toMatchObject({ code: 2, stdout: '' })
    }
  })
})

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { icpAgent } from '../support/terminal.js'

let server: Server
let url: string
let answer: { status: number; body: string } | null

beforeEach(async () => {
  answer = { status: 200, body: '{"ready":true}' }
  server = createServer((request, response) => {
    if (answer) response.writeHead(request.url?.startsWith('/ready') ? answer.status : 404).end(answer.body)
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

  test('asks the port of the configuration, however broken the rest of it is', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'icp-'))
    const path = join(directory, 'config.yaml')
    await writeFile(
      path,
      `health:\n  port: ${new URL(url).port}\n  bind_address: 0.0.0.0\nagent:\n  tenant_id: nonsense\n`,
    )
    expect(await icpAgent(['healthcheck', '-c', path])).toMatchObject({ code: 0 })
    await writeFile(path, 'health:\n  enabled: false\n')
    expect(await icpAgent(['healthcheck', '-c', path])).toMatchObject({ code: 2 })
    await rm(directory, { recursive: true })
  })

  test('only asks over http', async () => {
    for (const wrong of ['ftp://x/', 'nonsense', 'file:///etc/passwd']) {
      expect(await icpAgent(['healthcheck', '--url', wrong])).toMatchObject({ code: 2, stdout: '' })
    }
  })
})

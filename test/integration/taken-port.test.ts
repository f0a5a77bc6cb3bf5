import { createServer } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { icpAgent } from '../support/terminal.js'
import { socketOf } from './admin/support.js'

const server = createServer()
let port = 0

beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  port = typeof address === 'object' && address ? address.port : 0
})
afterAll(() => new Promise((resolve) => server.close(resolve)))

/** The port, what shows who holds it, and the option that names another one. */
const told = (option: string) => new RegExp(`127\\.0\\.0\\.1:${port} is in use .*sport = :${port}.*\\(${option}\\)`)

test('dev-icp --listen', async () => {
  await using dir = await temporaryDirectory()
  const { code, stderr } = await icpAgent(['dev-icp', '--data', `${dir.path}/icp`, '--listen', `127.0.0.1:${port}`])
  expect(code).toBe(2)
  expect(stderr).toMatch(told('--listen'))
})

test('publish-bundle --health-port', async () => {
  const words = 'publish-bundle --config-map bundle --namespace here --socket /nowhere/agent.sock --health-port'
  const env = { KUBERNETES_SERVICE_HOST: '127.0.0.1', KUBERNETES_SERVICE_PORT: '1' }
  const { code, stderr } = await icpAgent([...words.split(' '), String(port)], { env })
  expect(code).toBe(1)
  expect(stderr).toMatch(told('--health-port'))
})

test('status --serve', async () => {
  await using dir = await temporaryDirectory()
  await using icp = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server: icp })
  const words = ['status', '--admin-socket', socketOf(agent), '--serve', `127.0.0.1:${port}`]
  const { code, stdout, stderr } = await icpAgent(words)
  expect([code, stdout]).toEqual([1, ''])
  expect(stderr).toMatch(told('--serve'))
})

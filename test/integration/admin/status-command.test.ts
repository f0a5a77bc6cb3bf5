import { join } from 'node:path'
import { expect, test, vi } from 'vitest'
import { WorkloadApiClient } from '../../../agent/client/workload-api-client.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { icpAgent } from '../../support/terminal.js'
import { until } from '../../support/until.js'
import { fetchOnce, svidStream, uid } from '../resilience/support.js'
import { socketOf } from './support.js'

vi.setConfig({ testTimeout: 120_000 })

const NOWHERE = { address: 'https://127.0.0.1:1', caPath: '/etc/ssl/certs/ca-certificates.crt' }

test('status waits until workloads are served, and tells who is served, who was denied and why, and what there is', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/other`, selectors: { 'unix:uid': '4242' } })
  await using agent = await startAgent({ dir: dir.path, server, settings: { WORKLOAD_API__HOLD: '1s' } })
  const of = (...args: string[]) => icpAgent(['status', ...args, '--admin-socket', socketOf(agent)])
  expect((await of('--wait', 'ready')).code).toBe(0)

  const client = WorkloadApiClient.connect({ address: agent.address, clock: new SystemClock() })
  const refused = await client.fetchX509Svid().catch((error: Error) => error.message)
  client[Symbol.dispose]()
  const [, id = ''] = /denial (\w+)/.exec(String(refused)) ?? []
  const listed = await of('denials')
  expect(listed.stdout).toContain(id)
  const told = await of('denials', id)
  expect(told.stdout).toContain(`unix:uid = ${uid}`)
  expect(told.stdout).toContain(`wants unix:uid = 4242; the process has ${uid}`)
  expect(JSON.parse((await of('denials', id, '-o', 'json')).stdout).explanation.nearest).toEqual([
    expect.objectContaining({ entry_id: entry.id }),
  ])

  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await agent.logged('Registration entries changed', ({ total }) => total === 2)
  // Issuing takes longer than the hold of a call on a machine that is slow enough.
  await until(() => fetchOnce(agent.address).then(Boolean, () => false))
  using stream = svidStream(agent.address)
  await stream.next()
  const served = await of('--wait', 'served', '-o', 'json')
  expect([served.code, JSON.parse(served.stdout).workload_api.workloads]).toEqual([0, 1])
  expect((await of('workloads')).stdout).toMatch(
    new RegExp(`${process.pid} +${uid} +served +\\S+ .*spiffe://${TENANT}/web`),
  )
  expect((await of('entries')).stdout).toMatch(/^issued +.* 1 +spiffe:/m)
  expect((await of('bundles')).stdout).toContain(`${TENANT}  one X.509 authority`)
  expect((await of()).stdout).toMatch(/^test-node {2}healthy/)
})

test('status of an agent that is not ready ends with 3, and --wait with 3 where it does not come', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const socket = ['--admin-socket', socketOf(agent)]
  const { code, stdout } = await icpAgent(['status', ...socket])
  expect([code, stdout]).toEqual([3, expect.stringContaining('the entries have not been synced yet')])
  expect((await icpAgent(['status', '--wait', 'ready', '--timeout', '1s', ...socket])).code).toBe(3)
})

test('--watch shows it again and again, one line each as JSON, on one connection', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const stop = new AbortController()
  const { code, stdout } = await icpAgent(['status', '--watch', '-o', 'json', '--admin-socket', socketOf(agent)], {
    signal: stop.signal,
    onStdout: (text) => {
      if (text.split('\n').length > 3) stop.abort()
    },
  })
  expect(code).toBe(0)
  expect(
    stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).api_version),
  ).toEqual([1, 1, 1])
  expect(agent.lines.filter(({ event }) => event === 'Administrator connected')).toHaveLength(1)
})

test('--watch on a terminal gives it back as it was', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const stop = new AbortController()
  const { stdout } = await icpAgent(['status', '--watch', '--admin-socket', socketOf(agent)], {
    signal: stop.signal,
    isTTY: true,
    onStdout: (text) => text.includes('own SVID') && stop.abort(),
  })
  expect(stdout.startsWith('\u001b[?1049h')).toBe(true)
  expect(stdout.endsWith('\u001b[?25h\u001b[?1049l')).toBe(true)
})

test('the socket is found by the option, the variable and the configuration; nobody there is said with what to do', async () => {
  await using dir = await temporaryDirectory()
  await using agent = await startAgent({ dir: dir.path, server: NOWHERE })
  const by = (env: Record<string, string>, ...args: string[]) => icpAgent(['status', ...args, '-o', 'json'], { env })
  expect((await by({ ICP_AGENT_AGENT__ADMIN_SOCKET_PATH: socketOf(agent) })).code).toBe(3)
  expect((await by({ ICP_AGENT_AGENT__DATA_DIR: agent.dataDir })).code).toBe(3)
  const none = await by({}, '--admin-socket', join(dir.path, 'none.sock'))
  expect([none.code, none.stderr]).toEqual([1, expect.stringContaining('is the agent running')])
  for (const args of [['nonsense'], ['workloads', 'x'], ['denials', 'a', 'b'], ['--wait', 'later']]) {
    expect((await by({}, ...args)).code, args.join(' ')).toBe(2)
  }
})

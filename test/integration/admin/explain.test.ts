import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { expect, test, vi } from 'vitest'
import { explain } from '../../../agent/admin/routes/explain.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { icpAgent } from '../../support/terminal.js'
import { eventually } from '../../support/until.js'
import { served, svidStream, uid } from '../resilience/support.js'
import { ask, clientOf, socketOf } from './support.js'

vi.setConfig({ testTimeout: 120_000 })

const never = new AbortController().signal
const WEB = `spiffe://${TENANT}/web`

type Agent = Awaited<ReturnType<typeof startAgent>>

async function asked(agent: Agent, body: object) {
  using client = clientOf(agent)
  const answer = await client.call({ method: 'POST', path: explain.path, body, signal: never })
  const parsed = explain.schema.parse(answer)
  // Parsing leaves out what the schema does not declare.
  expect(parsed).toEqual(answer)
  return parsed
}

async function entriesOf(agent: Agent) {
  using client = clientOf(agent)
  return (await client.call({ path: '/v1/entries', signal: never })) as {
    readonly rows: readonly { readonly state: string; readonly wanted_by: number }[]
  }
}

test('a process that has not called yet is explained, nothing comes of it, and what it then gets is what was said', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': uid } })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/db`, selectors: { 'unix:uid': uid, 'unix:gid': '4711' } })
  await using agent = await startAgent({ dir: dir.path, server })
  await eventually(
    () => entriesOf(agent),
    ({ rows }) => rows.length === 2,
  )
  const { processes, denial } = await asked(agent, { pid: process.pid })
  expect([processes.length, denial]).toEqual([1, null])
  expect(processes[0]).toMatchObject({
    subject: { pid: process.pid, uid: Number(uid) },
    error: null,
    matches: [{ spiffe_id: WEB, state: 'idle', counts: true }],
    nearest: [
      { spiffe_id: `spiffe://${TENANT}/db`, missing: [], different: [{ selector: 'unix:gid', wanted: '4711' }] },
    ],
    decision: { kind: 'hold', code: 'svid.pending' },
    after_hold: { kind: 'refuse', code: 'svid.pending' },
  })
  expect(processes[0]?.selectors).toContainEqual({ selector: 'unix:uid', value: uid, attestor: 'unix' })
  const { rows } = await entriesOf(agent)
  expect(rows.map(({ state, wanted_by }) => [state, wanted_by])).toEqual(Array(2).fill(['idle', 0]))

  const { ids } = await served(agent.address)
  const [then] = (await asked(agent, { pid: process.pid })).processes
  expect(then?.decision).toMatchObject({ kind: 'send', spiffe_ids: ids })
})

test('a denial names the command that explains it: what was known, and what its process would get now', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server })
  using stream = svidStream(agent.address)
  const { message } = await stream.failed()
  const [, id = ''] = /icp-agent explain --denial ([0-9a-f]{12})/.exec(message) ?? []
  const then = await asked(agent, { denial: id })
  expect(then.denial).toMatchObject({ id, pid: process.pid, code: 'entry.none', explanation: { unavailable: [] } })
  expect(then.denial?.explanation?.selectors).toMatchObject({ 'unix:uid': uid })
  expect(then.processes).toMatchObject([
    { subject: { pid: process.pid }, decision: { kind: 'refuse', code: 'entry.none' } },
  ])

  await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': uid } })
  await served(agent.address)
  const now = await asked(agent, { denial: id })
  expect(now.denial?.explanation).toEqual(then.denial?.explanation)
  expect(now.processes).toMatchObject([{ decision: { kind: 'send', spiffe_ids: [WEB] } }])
})

test('of a denied process that has ended there is what was known of it, and no process', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server })
  const source = `
    import { Client, credentials, Metadata } from '@grpc/grpc-js'
    const metadata = new Metadata()
    metadata.set('workload.spiffe.io', 'true')
    const same = (bytes) => bytes
    new Client(process.argv[1], credentials.createInsecure())
      .makeServerStreamRequest('/SpiffeWorkloadAPI/FetchX509SVID', same, same, Buffer.alloc(0), metadata)
      .on('data', () => undefined)
      .on('error', ({ details }) => { console.log(details); process.exit() })`
  const child = spawn(process.execPath, ['--input-type=module', '-e', source, agent.address])
  let told = ''
  child.stdout.on('data', (piece) => {
    told += piece
  })
  await once(child, 'close')
  const [, id = ''] = /--denial ([0-9a-f]{12})/.exec(told) ?? []
  const { denial, processes, how } = await asked(agent, { denial: id })
  expect(denial).toMatchObject({ id, pid: child.pid })
  expect([processes, how]).toEqual([[], expect.stringContaining('has ended')])
})

test('a question that cannot be answered says why', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server })
  const told = async (body: object) => {
    const json = { 'content-type': 'application/json' }
    const { status, body: text } = await ask(socketOf(agent), {
      method: 'POST',
      url: explain.path,
      body: JSON.stringify(body),
      headers: json,
    })
    return [status, JSON.parse(text).error.code]
  }
  expect(await told({})).toEqual([400, 'request.invalid'])
  expect(await told({ pid: 1, container: 'a'.repeat(64) })).toEqual([400, 'request.invalid'])
  expect(await told({ pid: -1 })).toEqual([400, 'request.invalid'])
  expect(await told({ pid: 1.5 })).toEqual([400, 'request.invalid'])
  expect(await told({ pod: '../x' })).toEqual([400, 'request.invalid'])
  expect(await told({ container: 'web' })).toEqual([400, 'request.invalid'])
  expect(await told({ container: 'f'.repeat(64) })).toEqual([404, 'admin.not_found'])
  expect(await told({ pod: 'shop/web' })).toEqual([404, 'admin.not_found'])
  expect(await told({ denial: 'nothing' })).toEqual([404, 'admin.not_found'])
  expect(await told({ pid: 4_194_304 })).toEqual([404, 'caller.exited'])
})

test('the command shows it to people and scripts, and its exit code says whether the process is served', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await using agent = await startAgent({ dir: dir.path, server })
  using stream = svidStream(agent.address)
  await stream.ended()
  const run = (...args: string[]) => icpAgent(['explain', '--admin-socket', socketOf(agent), ...args])
  const denied = await run('--pid', String(process.pid))
  expect([denied.code, denied.stderr]).toEqual([3, ''])
  expect(denied.stdout).toContain(`unix:uid=${uid}`)
  expect(denied.stdout).toContain('entry.none')
  expect(denied.stdout).toContain('docs/register.md')
  await server.createEntry({ spiffeId: WEB, selectors: { 'unix:uid': uid } })
  await served(agent.address)
  const json = await run('--pid', String(process.pid), '-o', 'json')
  expect([json.code, JSON.parse(json.stdout).processes[0].decision.spiffe_ids]).toEqual([0, [WEB]])
  expect((await run()).code).toBe(2)
  expect((await run('--pid', '1', '--pod', 'a/b')).code).toBe(2)
  const nobody = await run('--pid', '4194304')
  expect([nobody.code, nobody.stdout]).toEqual([1, ''])
  expect(nobody.stderr).toContain('there is no process 4194304')
})

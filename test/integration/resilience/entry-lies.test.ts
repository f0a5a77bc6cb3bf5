import { status } from '@grpc/grpc-js'
import { describe, expect, test, vi } from 'vitest'
import { parseEntries } from '../../../agent/icp/wire-entries.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { fetchOnce, served, svidStream, uid } from './support.js'

// On a busy machine an agent takes seconds to start.
vi.setConfig({ testTimeout: 180_000 })

const QUICK = { SYNC__INTERVAL: '1s', SYNC__MAX_INTERVAL: '1s', WORKLOAD_API__HOLD: '500ms' }
const agentId = SpiffeId.parse(`spiffe://${TENANT}/agent/node`)
const plain = (n: number) => ({
  id: `entry-${n}`,
  spiffe_id: `spiffe://${TENANT}/n/${n}`,
  parent_id: '',
  selectors: { 'unix:uid': String(n) },
})

describe('a list of entries', () => {
  test('of fifty thousand is taken whole', () => {
    const { entries, rejected } = parseEntries({ entries: Array.from({ length: 50_000 }, (_, n) => plain(n)) }, agentId)
    expect([entries.length, rejected.length]).toEqual([50_000, 0])
  })

  test('loses only what cannot be used: malformed names, endless values, ids that come twice', () => {
    const { entries, rejected } = parseEntries(
      {
        entries: [
          plain(1),
          { ...plain(2), spiffe_id: 'spiffe://Acme/../x' },
          { ...plain(3), selectors: { 'unix:uid': 'x'.repeat(1_048_576) } },
          { ...plain(4), selectors: Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`k:${i}`, 'v'])) },
          plain(1),
          null,
          plain(5),
        ],
      },
      agentId,
    )
    expect(entries.map(({ id }) => id)).toEqual(['entry-1', 'entry-5'])
    expect(rejected).toHaveLength(5)
    for (const { reason } of rejected) expect(reason.length).toBeLessThan(300)
  })

  test('with lies in it takes nothing from what works', async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    await using agent = await startAgent({ dir: dir.path, server, settings: QUICK })
    await served(agent.address)
    using stream = svidStream(agent.address)
    const { leaf } = await stream.next()
    using _malformed = server.setFault({ kind: 'malformed-entry' })
    using _twice = server.setFault({ kind: 'duplicate-ids' })
    await agent.logged('Registration entry cannot be used')
    expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(leaf.serialNumber)
  })
})

test.concurrent.each([-3600, 3600])(
  'a server whose clock is %d seconds off is told of and takes nothing from what works',
  async (seconds) => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    await using agent = await startAgent({ dir: dir.path, server, settings: QUICK })
    const { leaf } = await served(agent.address)
    {
      using _off = server.setFault({ kind: 'clock-offset', seconds })
      const line = await agent.logged('The clocks of this machine and of the ICP server differ')
      expect(Math.abs(Number(line['skew_seconds']) - seconds)).toBeLessThan(5)
      expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(leaf.serialNumber)
    }
    await agent.logged('The clocks of this machine and of the ICP server agree again')
    expect((await fetchOnce(agent.address)).leaf.serialNumber).toBe(leaf.serialNumber)
  },
)

describe.concurrent('a list without any known entry', () => {
  test('on every node at once, from a server that still issues for them, withdraws nothing', async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    const start = (node: string) =>
      startAgent({ dir: `${dir.path}/${node}`, server, settings: { ...QUICK, AGENT__NODE_ID: node } })
    const [one, two] = [await start('one'), await start('two')]
    await using _one = one
    await using _two = two
    for (const agent of [one, two]) await served(agent.address)
    using _sick = server.setFault({ kind: 'entries-null' })
    for (const agent of [one, two]) {
      await agent.logged('Entry sync returned none of the known entries, unconfirmed; keeping them')
      expect((await fetchOnce(agent.address)).ids).toEqual([`spiffe://${TENANT}/web`])
    }
  })

  test('counts when the server does not issue for them either: an administrator removed them', async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    await using agent = await startAgent({ dir: dir.path, server, settings: QUICK })
    await served(agent.address)
    using stream = svidStream(agent.address)
    await stream.next()
    await server.deleteEntry(entry.id)
    expect(await stream.ended()).toBe(status.PERMISSION_DENIED)
  })

  test('counts when the server is asked about an entry whose place another has taken', async () => {
    await using dir = await temporaryDirectory()
    await using server = await startServer(`${dir.path}/icp`)
    const entry = await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
    await using agent = await startAgent({ dir: dir.path, server, settings: QUICK })
    await served(agent.address)
    await server.deleteEntry(entry.id)
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/other`, selectors: { 'unix:uid': uid } })
    const ids = async () => (await fetchOnce(agent.address).catch(() => null))?.ids[0]
    expect(await eventually(ids, (id) => id === `spiffe://${TENANT}/other`)).toBeDefined()
  })
})

describe('a server that is sick and answers 404 to whoever asks', () => {
  test.each([
    ['in its own form', { kind: 'status', status: 404 }],
    ['with a page of a proxy', { kind: 'html', status: 404 }],
  ] as const)('%s never makes a younger entry the default identity', async (_what, fault) => {
    await using dir = await temporaryDirectory()
    let ago = 60_000
    await using server = await startServer(`${dir.path}/icp`, { clock: new SystemClock(() => Date.now() - ago) })
    const base = `spiffe://${TENANT}/base`
    await server.createEntry({ spiffeId: base, selectors: { 'unix:uid': uid } })
    ago = 0
    const more = { 'unix:uid': uid, 'unix:path': process.execPath }
    await server.createEntry({ spiffeId: `spiffe://${TENANT}/younger`, selectors: more })
    server.setFault({ ...fault, endpoint: '/v1/workload/attest', times: 1 })
    await using agent = await startAgent({ dir: dir.path, server, settings: QUICK })
    expect((await served(agent.address)).ids[0]).toBe(base)
    expect(agent.lines.some(({ event }) => event === 'Workload SVID not issued')).toBe(true)
  })
})

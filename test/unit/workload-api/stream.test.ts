import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { type View, Views } from '../../../agent/svids/view.js'
import { decide } from '../../../agent/workload-api/decision.js'
import { ResponseStream, type StreamKind } from '../../../agent/workload-api/stream.js'
import { FakeCall } from '../../fakes/call.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { bundlesOf, entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { FakeWorkload, workloadContext } from '../../fakes/workload.js'

const MINE = { 'unix:uid': '1000' }
const HOLD = 4_000
const STALLED = 30_000

/** One workload with entries `a` and `b`, and streams that show serial numbers: `01,02`. */
function setting(selectors: Readonly<Record<string, string>> = MINE) {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = apiEvents(sinks, clock)
  const context = workloadContext({ clock, apiEvents: events })
  const { store } = context
  const workload = FakeWorkload.attested(selectors, [], context)
  const views = new Views()
  const happened: string[] = []
  const flags = { stopping: false, broken: false, encoded: 0 }
  const kind: StreamKind = {
    method: 'FetchX509SVID',
    dialect: 'spiffe',
    decide: (input) => {
      if (flags.broken) throw new TypeError('a defect')
      return decide(input)
    },
    content: (snapshot, ids) => views.of(snapshot, ids),
    encode: (content) => {
      flags.encoded++
      return Buffer.from((content as View).svids.map(({ svid }) => svid.serial).join())
    },
  }
  const open = (call = new FakeCall()) => {
    const stream = new ResponseStream(call, {
      workload,
      kind,
      snapshot: () => store.current,
      stopping: () => flags.stopping,
      clock,
      events,
      times: { holdMs: HOLD, stalledMs: STALLED },
      onStalled: () => happened.push('stalled'),
      onEnd: () => happened.push('end'),
    })
    stream.start()
    return { call, stream }
  }
  const entries = ['a', 'b'].map((id, createdAt) => entryOf(id, { selectors: MINE, createdAt }))
  store.publish(snapshotOf(entries.slice(0, 1)), { entries: 'all', bundles: true })
  const issue = (id: string, serial: string, lifeMs = 3_600_000) => {
    const state = issuedOf(id, { serial, notBefore: clock.now(), notAfter: clock.now() + lifeMs })
    set(id, state)
    return state
  }
  const set = (id: string, state: EntryState) =>
    store.publish({ states: new Map(store.current.states).set(id, state) }, { entries: new Set([id]), bundles: false })
  const show = (...ids: string[]) => {
    const shown = entries.filter(({ id }) => ids.includes(id))
    const { entries: byId, index } = snapshotOf(shown)
    store.publish({ entries: byId, index }, { entries: 'all', bundles: false })
  }
  return { clock, sinks, store, flags, happened, open, issue, set, show, workload }
}

/** Everything that a stream leaves behind when it has ended: nothing. */
function expectNothingLeft({ clock, workload, happened }: ReturnType<typeof setting>, ends = 1): void {
  expect(clock.pending).toBe(0)
  expect(workload.subscribers).toBe(0)
  expect(happened.filter((what) => what === 'end')).toHaveLength(ends)
}

describe('a stream', () => {
  it('sends what is there at once', async () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open()
    expect(call.written).toEqual(['01'])
    expect(world.sinks.total('icp_agent_pushes_total', { method: 'FetchX509SVID' })).toBe(1)
    expect(world.sinks.figures.some(({ name }) => name === 'icp_agent_first_message_seconds')).toBe(true)
    await settle()
    expect(world.clock.pending).toBe(0)
  })

  it('holds, and sends as soon as there is something', async () => {
    const world = setting()
    const { call } = world.open()
    await world.clock.advance(HOLD - 1)
    expect(call.written).toEqual([])
    world.issue('a', '01')
    expect(call.written).toEqual(['01'])
    await settle()
    expect(world.clock.pending).toBe(0)
  })

  it('holds, and refuses when the hold is over', async () => {
    const world = setting()
    const { call } = world.open()
    await world.clock.advance(HOLD)
    expect(call.ended.map(({ code }) => code)).toEqual([status.UNAVAILABLE])
    expectNothingLeft(world)
    expect(world.sinks.total('icp_agent_calls_total', { status: 'UNAVAILABLE' })).toBe(1)
  })

  it('pushes rotations, bundle changes and new entries, and nothing twice', async () => {
    const world = setting()
    const first = world.issue('a', '01')
    const { call } = world.open()
    await settle()
    world.set('a', { ...first, failures: { count: 1, retryAt: 0, code: 'icp.timeout' } })
    world.store.publish({}, { entries: new Set(['a']), bundles: true })
    world.show('a')
    await settle()
    expect(call.written).toEqual(['01'])
    world.issue('a', '02')
    await settle()
    world.store.publish({ bundles: bundlesOf('example.org', 'other.org') }, { entries: new Set(), bundles: true })
    await settle()
    world.show('a', 'b')
    await settle()
    world.issue('b', '03')
    await settle()
    expect(call.written).toEqual(['01', '02', '02', '02,03'])
    world.show('a')
    await settle()
    expect(call.written.at(-1)).toBe('02')
    expect(world.clock.pending).toBe(0)
  })

  it('starts anew with the hold whenever it has to wait', async () => {
    const world = setting()
    world.issue('a', '01', 60_000)
    const { call } = world.open()
    await world.clock.advance('60s')
    world.set('a', { kind: 'wanted', expired: true })
    await world.clock.advance(HOLD - 1)
    expect(call.ended).toEqual([])
    world.issue('a', '02', 60_000)
    await world.clock.advance('60s')
    world.set('a', { kind: 'wanted', expired: true })
    await world.clock.advance(HOLD - 1)
    expect(call.ended).toEqual([])
    await world.clock.advance(1)
    expect(call.written).toEqual(['01', '02'])
    expect(call.ended[0]?.code).toBe(status.UNAVAILABLE)
    expectNothingLeft(world)
  })

  it('outlives an attestation that fails for a moment, and says nothing about it', async () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open()
    world.workload.fail('attestation.failed')
    await world.clock.advance(HOLD - 1)
    world.workload.attest(MINE)
    await world.clock.advance('1m')
    expect(call.written).toEqual(['01'])
    expect(call.ended).toEqual([])
  })

  it('ends when the process ends, is replaced, or loses its last identity', async () => {
    for (const change of ['exit', 'exec', 'withdrawn'] as const) {
      const world = setting()
      world.issue('a', '01')
      const { call } = world.open()
      await settle()
      if (change === 'exit') world.workload.end()
      if (change === 'exec') {
        world.workload.wrong = new AgentError('caller.executable_changed', 'another program')
        world.issue('a', '02')
      }
      if (change === 'withdrawn') world.show()
      await settle()
      expect(call.written).toEqual(['01'])
      expect(call.ended.map(({ code }) => code)).toEqual([status.PERMISSION_DENIED])
      expectNothingLeft(world)
    }
  })
})

describe('a slow reader', () => {
  it('has one message under way, and gets the newest state when it has read', async () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open(new FakeCall(false))
    for (const serial of ['02', '03', '04']) world.issue('a', serial)
    await settle()
    expect(call.written).toEqual(['01'])
    expect(call.unread).toBe(1)
    call.read()
    expect(call.written).toEqual(['01', '04'])
    call.read()
    expect(call.written).toHaveLength(2)
    expect(world.flags.encoded).toBe(2)
    expect(world.clock.pending).toBe(0)
  })

  it('costs one decision a message where nothing changed while it read', async () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open(new FakeCall(false))
    const decisions = world.workload.decisions
    call.read()
    expect(world.workload.decisions).toBe(decisions)
    world.issue('a', '02')
    expect(world.workload.decisions).toBe(decisions + 1)
    call.read()
    expect(call.written).toEqual(['01', '02'])
    expect(world.clock.pending).toBe(0)
  })

  it('gets nothing more when what changed has changed back', () => {
    const world = setting()
    const first = world.issue('a', '01')
    const { call } = world.open(new FakeCall(false))
    world.issue('a', '02')
    world.set('a', first)
    call.read()
    expect(call.written).toEqual(['01'])
  })

  it('is refused as soon as it has read, where it lost its identity meanwhile', () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open(new FakeCall(false))
    world.show()
    expect(call.ended).toEqual([])
    call.read()
    expect(call.ended[0]?.code).toBe(status.PERMISSION_DENIED)
    expectNothingLeft(world)
  })

  it('loses its connection when it does not read at all', async () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open(new FakeCall(false))
    await world.clock.advance(STALLED - 1)
    expect(world.happened).toEqual([])
    await world.clock.advance(1)
    expect(world.happened).toEqual(['stalled', 'end'])
    call.cancel()
    call.read()
    expectNothingLeft(world)
    expect(world.sinks.total('icp_agent_calls_total')).toBe(1)
  })
})

describe('a client that goes away', () => {
  it.each([
    ['while it is held', false],
    ['while a message is under way', true],
  ])('%s gets nothing more (ST-11)', async (_when, sending) => {
    const world = setting()
    if (sending) world.issue('a', '01')
    const { call, stream } = world.open(new FakeCall(false))
    call.cancel()
    world.issue('a', '02')
    call.read()
    stream.evaluate()
    await settle()
    expect(call.written).toHaveLength(sending ? 1 : 0)
    expect(call.ended).toEqual([])
    expectNothingLeft(world)
    expect(world.sinks.total('icp_agent_calls_total', { status: 'CANCELLED' })).toBe(1)
  })

  it('ends once, however it goes', () => {
    const world = setting()
    world.issue('a', '01')
    const { call } = world.open()
    call.emit('error', Object.assign(new Error('reset'), { code: 13 }))
    call.cancel()
    call.cancel()
    expectNothingLeft(world)
  })
})

describe('a stop', () => {
  it('ends every stream with Unavailable, held or live', async () => {
    const world = setting()
    world.issue('a', '01')
    const live = world.open()
    await settle()
    world.set('a', { kind: 'wanted' })
    const held = world.open()
    world.flags.stopping = true
    for (const { stream } of [held, live]) stream.evaluate()
    expect([held, live].map(({ call }) => call.ended.map(({ code }) => code))).toEqual([[14], [14]])
    expectNothingLeft(world, 2)
  })
})

describe('a defect of ours', () => {
  it.each(['at the start', 'at a change', 'in encoding'] as const)(
    '%s ends this stream alone, with a word in the log',
    async (when) => {
      const world = setting()
      const other = world.open()
      if (when !== 'at a change') world.flags.broken = when === 'at the start'
      else world.issue('a', '01')
      const { call } = world.open(
        when === 'in encoding'
          ? new (class extends FakeCall {
              override write(): boolean {
                throw new TypeError('a defect')
              }
            })()
          : new FakeCall(),
      )
      if (when === 'at a change') world.flags.broken = true
      expect(() => world.issue('a', '02')).not.toThrow()
      await settle()
      expect(call.ended.map(({ code }) => code)).toEqual([status.UNAVAILABLE])
      expect(world.sinks.events('error')).toContain('Workload API handler failed')
      world.flags.broken = false
      if (when === 'in encoding') expect(other.call.written).toEqual(['02'])
      for (const { call: one } of [other]) one.cancel()
      expectNothingLeft(world, 2)
    },
  )
})

describe('a denial', () => {
  it('tells its id and nothing of selectors, and the log tells the rest once', async () => {
    const world = setting({ 'unix:uid': '4711', 'unix:path': '/usr/bin/secret' })
    const first = world.open().call.ended[0]
    const second = world.open().call.ended[0]
    const id = /denial ([0-9a-f]{12})/.exec(first?.details ?? '')?.[1]
    expect(id).toBeDefined()
    expect(second?.details).toBe(first?.details)
    expect(first?.details).not.toMatch(/4711|secret|unix/)
    const lines = world.sinks.lines.filter(({ event }) => event === 'Workload API call denied')
    expect(lines.map(({ level, fields }) => [level, fields['denial_id'], fields['code']])).toEqual([
      ['warn', id, 'entry.none'],
      ['debug', id, 'entry.none'],
    ])
    expect(lines[0]?.fields['selectors']).toEqual({ 'unix:uid': '4711', 'unix:path': '/usr/bin/secret' })
  })
})

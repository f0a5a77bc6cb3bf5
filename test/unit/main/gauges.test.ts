import { beforeEach, expect, test } from 'vitest'
import { type Gauged, gauges } from '../../../agent/main/gauges.js'
import { Demand } from '../../../agent/svids/demand.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { FakeClock } from '../../fakes/clock.js'
import { entriesOf, entryOf } from '../../fakes/identities.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const NOTHING = { entries: new Set<string>(), bundles: false }

let clock: FakeClock
let sinks: RecordedSinks
beforeEach(() => {
  clock = new FakeClock()
  sinks = new RecordedSinks()
})

function shown(agent: Partial<Gauged>): Disposable {
  const nothing: Gauged = {
    config: { metrics: { spiffeIdLabels: false, bearerTokenPath: null } },
    store: new SvidStore(),
    demand: new Demand(clock),
    keeper: { current: () => null, state: () => ({ kind: 'starting' as const }) },
    client: { skew: () => null },
    entrySync: { lastAt: null },
    schedule: { intervalMs: 30_000 },
  }
  return gauges({ ...nothing, ...agent }, { metrics: sinks.metrics, clock })
}
const read = (name: string) => sinks.gauges.get(name)?.()

test("the agent's own expiry is -1 while it has no SVID", () => {
  shown({})
  expect(read('icp_agent_agent_svid_expiry_seconds')).toEqual([{ value: -1 }])
})

test("the agent's own expiry runs down", async () => {
  const notAfter = clock.now() + 60_000
  shown({ keeper: { current: () => ({ notAfter }), state: () => ({ kind: 'valid' }) } })
  await clock.advance('20s')
  expect(read('icp_agent_agent_svid_expiry_seconds')).toEqual([{ value: 40 }])
})

test("of the states of the agent's own SVID one is 1", () => {
  shown({ keeper: { current: () => null, state: () => ({ kind: 'refused' }) } })
  const states = read('icp_agent_agent_svid_state') ?? []
  expect(states.filter(({ value }) => value === 1)).toEqual([{ value: 1, labels: { state: 'refused' } }])
  expect(states.length).toBeGreaterThan(5)
})

test('an SVID that somebody uses and that expired is unserved, while no SVID is left whose end could be told', () => {
  const store = new SvidStore()
  const entries = entriesOf(entryOf('a'))
  store.publish({ entries, states: new Map([['a', { kind: 'wanted', expired: true }]]) }, NOTHING)
  const demand = new Demand(clock)
  using use = demand.use(1000)
  use.entries(['a'])
  shown({ store, demand })
  expect(read('icp_agent_svid_soonest_expiry_seconds')).toEqual([{ value: -1 }])
  expect(read('icp_agent_entries_unserved')).toContainEqual({ value: 1, labels: { state: 'expired' } })
  expect(read('icp_agent_entries')).toContainEqual({ value: 1, labels: { state: 'wanted' } })
})

test('no skew is shown before the server has answered, then its own, behind us too', () => {
  let skew: number | null = null
  shown({ client: { skew: () => skew } })
  expect(read('icp_agent_server_clock_skew_seconds')).toEqual([])
  skew = -1500
  expect(read('icp_agent_server_clock_skew_seconds')).toEqual([{ value: -1.5 }])
})

test('what is disposed shows nothing any more', () => {
  const all = shown({})
  expect(sinks.gauges.size).toBeGreaterThan(5)
  all[Symbol.dispose]()
  expect(sinks.gauges.size).toBe(0)
})

import { expect, test } from 'vitest'
import { apiEvents, type Denial } from '../../../agent/observability/api-events.js'
import { FakeClock } from '../../fakes/clock.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const REFUSAL = { code: 'entry.none', message: 'no entry' } as const

function setting() {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = apiEvents(sinks, clock)
  let ids = 0
  const denial = (uid: number, unit = 'a.service'): Denial => ({
    id: `d${++ids}`,
    first: true,
    caller: { pid: 1000 + ids, uid, gid: uid },
    process: `process ${ids}`,
    selectors: new Map([['systemd:id', unit]]),
    unavailable: [],
    notes: [],
    nearest: null,
  })
  const warnings = () => sinks.lines.filter((line) => line.level === 'warn')
  return { clock, sinks, events, denial, warnings }
}

test('a user whose processes are denied in a loop is a warning three times a minute, then with how many were left out', async () => {
  const { clock, sinks, events, denial, warnings } = setting()
  for (let n = 0; n < 500; n++) events.denied('FetchX509SVID', REFUSAL, denial(1000))
  expect(warnings()).toHaveLength(3)
  for (const { fields } of warnings()) expect(fields).not.toHaveProperty('suppressed')
  await clock.advance('1m')
  events.denied('FetchX509SVID', REFUSAL, denial(1000))
  expect(warnings()).toHaveLength(4)
  expect(warnings()[3]?.fields).toMatchObject({ uid: 1000, suppressed: 497 })
  expect(sinks.total('icp_agent_denials_total', { reason: 'entry.none' })).toBe(501)
})

test('a flooding process hides no denial of another user, of another workload of its user, or for another reason', () => {
  const { events, denial, warnings } = setting()
  for (let n = 0; n < 500; n++) events.denied('FetchX509SVID', REFUSAL, denial(1000))
  events.denied('FetchX509SVID', REFUSAL, denial(1001))
  events.denied('FetchX509SVID', REFUSAL, denial(1000, 'b.service'))
  events.denied('FetchX509SVID', { ...REFUSAL, code: 'caller.ids_changed' }, denial(1000))
  expect(warnings().slice(3)).toMatchObject([
    { fields: { uid: 1001, code: 'entry.none' } },
    { fields: { uid: 1000, selectors: { 'systemd:id': 'b.service' } } },
    { fields: { uid: 1000, code: 'caller.ids_changed' } },
  ])
})

test('a denial that is told again is neither a warning nor one that was left out', async () => {
  const { clock, events, denial, warnings } = setting()
  const same = denial(1000)
  events.denied('FetchX509SVID', REFUSAL, same)
  for (let n = 0; n < 10; n++) events.denied('FetchX509SVID', REFUSAL, { ...same, first: false })
  await clock.advance('1m')
  events.denied('FetchX509SVID', REFUSAL, denial(1000))
  expect(warnings()).toHaveLength(2)
  expect(warnings()[1]?.fields).not.toHaveProperty('suppressed')
})

test('the entries nearest to a denial are looked for only where the line is written', () => {
  const { sinks, events, denial } = setting()
  let looked = 0
  const nearest = () => {
    looked++
    return [{ id: 'e1', spiffeId: 'spiffe://td/e1', lacks: [{ key: 'unix:uid', wanted: '1', found: '2' }] }]
  }
  events.denied('FetchX509SVID', REFUSAL, { ...denial(1000), nearest })
  expect(looked).toBe(0)
  const line = sinks.lines.find(({ level }) => level === 'debug')
  expect(line?.fields).toMatchObject({
    nearest: [{ entry_id: 'e1', spiffe_id: 'spiffe://td/e1', lacks: [{ key: 'unix:uid', wanted: '1', found: '2' }] }],
  })
})

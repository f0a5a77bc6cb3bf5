import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../agent/attestation/caller.js'
import { attestorEvents } from '../../../agent/observability/attestor-events.js'
import { WhenPresent } from '../../../attestors/when-present.js'
import { FakeAttestor } from '../../fakes/attestor.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeKernel } from '../../fakes/kernel.js'
import { RecordedSinks } from '../../fakes/sinks.js'

function setting(absence: string | null) {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const events = attestorEvents(sinks)
  const inner = new FakeAttestor('systemd')
  inner.selectors = { 'systemd:id': 'a.service' }
  const platform = { absence, looks: 0 }
  const attestor = new WhenPresent({
    attestor: inner,
    absence: async () => {
      platform.looks++
      return platform.absence
    },
    asks: 'it is here',
    clock,
    events,
  })
  const kernel = new FakeKernel()
  const caller = callerOf(kernel.peer(kernel.spawn()))
  const stop = new AbortController()
  const attest = () => attestor.attest(caller, stop.signal)
  return { clock, sinks, events, inner, platform, attestor, caller, stop, attest }
}

describe('an attestor whose platform may be absent', () => {
  it('is asked where its platform is, by the first caller too', async () => {
    const { attest, inner, events, platform } = setting(null)
    expect((await attest()).selectors.get('systemd:id')).toBe('a.service')
    await attest()
    expect([inner.calls, platform.looks]).toEqual([2, 1])
    expect(events.statuses()).toEqual([{ name: 'systemd', active: true, reason: 'it is here' }])
  })

  it('is not asked where it is not: nothing is known, nothing is unavailable, and a note says why', async () => {
    const { attest, inner } = setting('nowhere')
    const { selectors, unavailable, notes } = await attest()
    expect([selectors.size, unavailable, inner.calls]).toEqual([0, [], 0])
    expect(notes).toEqual([{ attestor: 'systemd', text: 'off: nowhere' }])
  })

  it('is on within ten seconds of its platform, and whoever listens is attested again', async () => {
    const { attest, attestor, caller, clock, platform, stop, sinks, inner } = setting('nowhere')
    const running = attestor.run(stop.signal)
    await clock.advance(0)
    let changes = 0
    using _watch = attestor.onChange(caller, () => changes++)
    const gone = attestor.onChange(caller, () => changes++)
    gone[Symbol.dispose]()
    await clock.advance(30_000)
    expect([platform.looks, changes]).toEqual([4, 0])
    platform.absence = null
    await clock.advance(10_000)
    await running
    expect(changes).toBe(1)
    expect((await attest()).selectors.size).toBe(1)
    expect(sinks.lines.map(({ level, event }) => [level, event])).toEqual([
      ['info', 'Workload attestor is off'],
      ['info', 'Workload attestor is on'],
    ])
    inner.change()
    expect(changes).toBe(2)
  })

  it('lets go of the platform with its listener', async () => {
    const { attestor, caller, inner, attest } = setting(null)
    await attest()
    attestor.onChange(caller, () => undefined)[Symbol.dispose]()
    expect(inner.watched.size).toBe(0)
  })

  it('was here once: it is asked for ever, and says itself what is unavailable', async () => {
    const { attest, attestor, platform, stop, clock, inner } = setting(null)
    const running = attestor.run(stop.signal)
    await clock.advance(0)
    await running
    platform.absence = 'gone'
    inner.unavailable = ['systemd']
    await clock.advance(60_000)
    expect(await attest()).toMatchObject({ unavailable: ['systemd'] })
    expect(clock.pending).toBe(0)
  })

  it('stops looking when the agent stops', async () => {
    const { attestor, stop, clock } = setting('nowhere')
    const running = attestor.run(stop.signal)
    await clock.advance(0)
    stop.abort()
    await running
    expect(clock.pending).toBe(0)
  })
})

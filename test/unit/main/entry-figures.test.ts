import { beforeEach, describe, expect, it } from 'vitest'
import { countByState, figuresOf, soonestEnd, unserved } from '../../../agent/main/entry-figures.js'
import { Demand } from '../../../agent/svids/demand.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { FakeClock } from '../../fakes/clock.js'
import { entriesOf, entryOf, heldOf, issuedOf } from '../../fakes/identities.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

let clock: FakeClock
let demand: Demand
beforeEach(() => {
  clock = new FakeClock()
  demand = new Demand(clock)
})

/** An SVID of one hour of which so much is left. */
const lives = (left: number) => ({ notBefore: clock.now() + left - HOUR, notAfter: clock.now() + left })
const failures = { count: 3, retryAt: 0, code: 'icp.timeout' as const }
const refused: EntryState = { kind: 'refused', code: 'icp.no_match', message: 'no', until: 0, failures }

function snapshot(states: Readonly<Record<string, EntryState | undefined>>) {
  const present = Object.entries(states).flatMap(([id, state]) => (state ? [[id, state] as const] : []))
  return { entries: entriesOf(...Object.keys(states).map((id) => entryOf(id))), states: new Map(present) }
}

/** A call that opens and ends. */
function used(...ids: string[]): void {
  using use = demand.use(1000)
  use.entries(ids)
}

it('entries are counted by state, those without one as idle', () => {
  const counts = countByState(
    snapshot({ a: undefined, b: issuedOf('b', lives(HOUR)), c: { kind: 'shadowed', by: 'b' } }),
    clock.now(),
  )
  expect(counts).toEqual({ idle: 1, wanted: 0, issued: 1, refused: 0, shadowed: 1 })
})

describe('the soonest end', () => {
  it('is that of the SVID that ends first, and null where there is none', () => {
    expect(soonestEnd(snapshot({ a: undefined }), demand, clock.now())).toBeNull()
    using use = demand.use(1000)
    use.entries(['a', 'b'])
    const both = snapshot({ a: issuedOf('a', lives(50 * MINUTE)), b: issuedOf('b', lives(20 * MINUTE)) })
    expect(soonestEnd(both, demand, clock.now())).toBe(clock.now() + 20 * MINUTE)
  })

  it('does not count an SVID that nobody uses any more: nobody renews it', async () => {
    used('a')
    const states = snapshot({ a: issuedOf('a', lives(2 * HOUR)) })
    await clock.advance('59m')
    expect(soonestEnd(states, demand, clock.now())).not.toBeNull()
    await clock.advance('2m')
    expect(soonestEnd(states, demand, clock.now())).toBeNull()
    expect(soonestEnd(snapshot({ never: issuedOf('never', lives(HOUR)) }), demand, clock.now())).toBeNull()
  })

  it('of one that waits to take the place of another is its own', () => {
    used('a')
    const next = { held: heldOf('a', lives(55 * MINUTE)), from: clock.now() + 5 * MINUTE }
    const states = snapshot({ a: { ...issuedOf('a', lives(8 * MINUTE)), next } })
    expect(soonestEnd(states, demand, clock.now())).toBe(clock.now() + 55 * MINUTE)
  })
})

describe('entries that are asked for in vain', () => {
  const inVain = (states: Parameters<typeof snapshot>[0]) => unserved(snapshot(states), demand, clock.now())

  it('are told apart by what they lack', () => {
    const states = {
      waiting: undefined,
      failing: { kind: 'wanted', failures },
      expired: { kind: 'wanted', expired: true, failures },
      refused,
      issued: issuedOf('issued', lives(HOUR)),
      shadowed: { kind: 'shadowed', by: 'issued' },
    } as const
    using use = demand.use(1000)
    use.entries(Object.keys(states))
    expect(inVain(states)).toEqual({ wanted: 2, expired: 1, refused: 1 })
  })

  it('are none of those that nobody has asked for', () => {
    expect(inVain({ idle: undefined, expired: { kind: 'wanted', expired: true }, refused })).toEqual({
      wanted: 0,
      expired: 0,
      refused: 0,
    })
  })

  it('still count while a client that looks every half hour may come back, and no longer', async () => {
    used('a')
    await clock.advance('34m')
    expect(inVain({ a: { kind: 'wanted', expired: true } }).expired).toBe(1)
    await clock.advance('2m')
    expect(inVain({ a: { kind: 'wanted', expired: true } }).expired).toBe(0)
  })
})

it('figures of all entries are counted once for each publication, and the end of an SVID counts at its time', () => {
  const entries = entriesOf(entryOf('a'), entryOf('b'), entryOf('c', { selectors: {} }))
  const states = new Map([['a', issuedOf('a', { notAfter: 10 })]])
  const figures = figuresOf({ entries, states })
  expect(figures).toMatchObject({
    byState: { issued: 1, idle: 2 },
    neverIssued: [{ id: 'c', code: 'entry.invalid' }],
    ends: [10],
  })
  expect(figuresOf({ entries, states })).toBe(figures)
  expect(figuresOf({ entries: entriesOf(entryOf('a')), states })).toMatchObject({ byState: { issued: 1, idle: 0 } })
  expect(figuresOf({ entries, states: new Map() })).toMatchObject({ byState: { issued: 0, idle: 3 } })
})

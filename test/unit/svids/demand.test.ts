import { describe, expect, it } from 'vitest'
import { Demand } from '../../../agent/svids/demand.js'
import { FakeClock } from '../../fakes/clock.js'

const MINUTE = 60_000

function demandAt() {
  const clock = new FakeClock()
  return { clock, demand: new Demand(clock) }
}

describe('Demand', () => {
  it('knows for whom an entry is in use, and since when it is not', async () => {
    const { clock, demand } = demandAt()
    const first = demand.use(1000)
    const second = demand.use(1001)
    first.entries(['a'])
    second.entries(['a', 'b'])
    expect([...(demand.want('a')?.uids ?? [])]).toEqual([
      [1000, 1],
      [1001, 1],
    ])
    await clock.advance('10m')
    first[Symbol.dispose]()
    expect(demand.unusedFor('a', clock.now())).toBe(0)
    second[Symbol.dispose]()
    await clock.advance('5m')
    expect(demand.unusedFor('a', clock.now())).toBe(5 * MINUTE)
    expect(demand.want('a')?.uids.size).toBe(0)
  })

  it('has never heard of an entry that nobody asked for', () => {
    const { clock, demand } = demandAt()
    expect(demand.want('a')).toBeUndefined()
    expect(demand.unusedFor('a', clock.now())).toBe(Number.POSITIVE_INFINITY)
  })

  it('counts two uses by one uid as two', () => {
    const { demand } = demandAt()
    const [one, two] = [demand.use(7), demand.use(7)]
    one.entries(['a'])
    two.entries(['a'])
    one[Symbol.dispose]()
    expect([...(demand.want('a')?.uids ?? [])]).toEqual([[7, 1]])
    two[Symbol.dispose]()
    expect(demand.want('a')?.uids.size).toBe(0)
  })

  it('lets go of what a use no longer names, and keeps the rest without a gap', async () => {
    const { clock, demand } = demandAt()
    const use = demand.use(1)
    use.entries(['a', 'b'])
    await clock.advance('1m')
    use.entries(['b', 'c'])
    await clock.advance('1m')
    expect(demand.unusedFor('a', clock.now())).toBe(MINUTE)
    expect(demand.unusedFor('b', clock.now())).toBe(0)
    expect(demand.unusedFor('c', clock.now())).toBe(0)
  })

  it('releases once, however often a use is disposed, and wants nothing more afterwards', () => {
    const { demand } = demandAt()
    const [one, two] = [demand.use(1), demand.use(1)]
    one.entries(['a'])
    two.entries(['a'])
    one[Symbol.dispose]()
    one[Symbol.dispose]()
    one.entries(['a', 'b'])
    expect(demand.want('a')?.uids.get(1)).toBe(1)
    expect(demand.want('b')).toBeUndefined()
  })

  it('tells listeners when something new is wanted, and only then', () => {
    const { demand } = demandAt()
    let told = 0
    const listening = demand.onWanted(() => told++)
    const use = demand.use(1)
    use.entries(['a'])
    use.entries(['a'])
    expect(told).toBe(1)
    use.entries([])
    expect(told).toBe(1)
    use.entries(['a'])
    expect(told).toBe(2)
    listening[Symbol.dispose]()
    use.entries(['a', 'b'])
    expect(told).toBe(2)
  })

  it('tells them once of an entry that several processes use, until none does', () => {
    const { demand } = demandAt()
    let told = 0
    using _listening = demand.onWanted(() => told++)
    const first = demand.use(1)
    first.entries(['a'])
    const second = demand.use(2)
    second.entries(['a'])
    expect(told).toBe(1)
    second.entries(['a', 'b'])
    expect(told).toBe(2)
    first[Symbol.dispose]()
    second[Symbol.dispose]()
    demand.use(1).entries(['a'])
    expect(told).toBe(3)
  })

  it('gives whoever had no turn for longest the next one', () => {
    const { demand } = demandAt()
    for (const uid of [5, 6, 7]) demand.tookTurn(uid)
    demand.tookTurn(5)
    expect([5, 6, 7, 8].sort((a, b) => demand.turnOf(a) - demand.turnOf(b))).toEqual([8, 6, 7, 5])
  })

  it('forgets entries that nobody is to keep, never one in use', async () => {
    const { clock, demand } = demandAt()
    const [open, closed] = [demand.use(1), demand.use(1)]
    open.entries(['open'])
    closed.entries(['closed'])
    closed[Symbol.dispose]()
    await clock.advance('1h')
    demand.prune(() => false)
    expect([...demand.ids()]).toEqual(['open'])
  })

  it('carries last uses across a restart, and none from the future', async () => {
    const before = demandAt()
    const use = before.demand.use(1)
    use.entries(['a', 'b'])
    use.entries(['b'])
    await before.clock.advance('10m')
    const after = demandAt()
    await after.clock.advance('5m')
    after.demand.restore(before.demand.lastUses())
    expect(after.demand.unusedFor('a', after.clock.now())).toBe(5 * MINUTE)
    // `b` was still in use ten minutes in, which this clock has not reached.
    expect(after.demand.unusedFor('b', after.clock.now())).toBe(0)
    expect(after.demand.want('b')?.uids.size).toBe(0)
  })

  it('does not let what was restored overrule what is in use', async () => {
    const { clock, demand } = demandAt()
    demand.use(1).entries(['a'])
    await clock.advance('1h')
    demand.restore(new Map([['a', 0]]))
    expect(demand.unusedFor('a', clock.now())).toBe(0)
  })
})

import { describe, expect, it } from 'vitest'
import { type Account, type Exceeded, type RateLimits, Rates } from '../../../agent/workload-api/rates.js'
import { FakeClock } from '../../fakes/clock.js'

const LIMITS: RateLimits = {
  connections: { perSecond: 10, burst: 20 },
  calls: { perSecond: 100, burst: 40 },
}

function setting(limits = LIMITS) {
  const clock = new FakeClock()
  const rates = new Rates(limits, clock)
  const account = (subject: string, process = `${subject} 1`) => rates.account(subject, process)
  /** How many of so many connections at once are taken, and why the others are not. */
  const connections = (of: Account, count: number) => {
    const answers = Array.from({ length: count }, () => rates.connect(of))
    return { taken: answers.filter((answer) => answer === null).length, refused: reasons(answers) }
  }
  const calls = (of: Account, count: number) => reasons(Array.from({ length: count }, () => rates.call(of)))
  /** Somebody else is there. */
  const other = () => expect(rates.connect(account('other'))).toBeNull()
  return { clock, rates, account, connections, calls, other }
}

function reasons(answers: readonly (Exceeded | null)[]): readonly Exceeded[] {
  return [...new Set(answers.flatMap((answer) => answer ?? []))]
}

describe('a subject among others', () => {
  it('has its burst of connections at once, then so many a second', async () => {
    const { clock, account, connections, other } = setting()
    other()
    // One connection a process: the process is not what is limited.
    const each = (n: number) =>
      Array.from({ length: n }, (_, i) => connections(account('a', `${clock.monotonic()} ${i}`), 1))
    const first = each(30)
    expect(first.filter(({ taken }) => taken === 1)).toHaveLength(20)
    expect(first.at(-1)?.refused).toEqual(['rate_subject'])
    await clock.advance('1s')
    expect(each(30).filter(({ taken }) => taken === 1)).toHaveLength(10)
  })

  it('takes nothing from another one', () => {
    const { account, connections, calls } = setting()
    connections(account('b'), 1)
    connections(account('a'), 1_000)
    calls(account('a'), 1_000)
    expect(connections(account('b'), 9)).toEqual({ taken: 9, refused: [] })
    expect(calls(account('b'), 19)).toEqual([])
  })

  it('a process of it has half of what it has', () => {
    const { account, connections, other } = setting()
    other()
    connections(account('a', 'two'), 1)
    expect(connections(account('a', 'one'), 30)).toEqual({ taken: 10, refused: ['rate_process'] })
    expect(connections(account('a', 'two'), 5).taken).toBe(5)
  })

  it('what is refused is not charged, so that it has its rate however often it tries', async () => {
    const { clock, account, connections, other } = setting()
    other()
    connections(account('a'), 20)
    for (let tenth = 0; tenth < 20; tenth++) {
      await clock.advance('100ms')
      expect(connections(account('a'), 100).taken).toBe(1)
    }
  })

  it('calls that came in one piece are paid for before it may connect again', async () => {
    const { clock, rates, account, connections, calls, other } = setting()
    other()
    const a = account('a')
    expect(connections(a, 1).taken).toBe(1)
    expect(calls(a, 240)).toEqual(['rate_subject'])
    // 200 calls are owed, at 100 a second.
    expect(rates.owedFor(a)).toBe(2_000)
    expect(connections(a, 1)).toEqual({ taken: 0, refused: ['rate_subject'] })
    await clock.advance('1999ms')
    expect(connections(a, 1).taken).toBe(0)
    await clock.advance('2ms')
    expect(rates.owedFor(a)).toBe(0)
    expect(connections(a, 1).taken).toBe(1)
  })
})

describe('a subject that is alone', () => {
  it('is not limited, and owes nothing for it when others come', () => {
    const { rates, account, connections, calls, other } = setting()
    const a = account('a')
    expect(connections(a, 1_000)).toEqual({ taken: 1_000, refused: [] })
    expect(calls(a, 1_000)).toEqual([])
    other()
    expect(rates.owedFor(a)).toBe(0)
    expect(connections(a, 1)).toEqual({ taken: 0, refused: ['rate_subject'] })
  })

  it('is alone again ten seconds after the others', async () => {
    const { clock, account, connections, other } = setting()
    other()
    const a = account('a')
    connections(a, 100)
    await clock.advance('9999ms')
    expect(connections(a, 1_000).taken).toBeLessThan(1_000)
    await clock.advance('2ms')
    expect(connections(a, 1_000).taken).toBe(1_000)
  })
})

describe('subjects that were never seen', () => {
  it('share twice the allowance of one when there are tens of thousands, and leave known ones alone', () => {
    const { account, connections } = setting()
    const known = account('known')
    connections(known, 1)
    const reasonsOfAll = new Set<Exceeded>()
    let taken = 0
    for (let id = 0; id < 65_536; id++) {
      const result = connections(account(`subordinate ${id}`), 10)
      taken += result.taken
      for (const reason of result.refused) reasonsOfAll.add(reason)
    }
    // 63 are as welcome as anybody; all others together have forty connections.
    expect(taken).toBe(63 * 10 + 40)
    expect([...reasonsOfAll]).toEqual(['rate_new_subjects'])
    expect(connections(known, 10).taken).toBe(10)
  })

  it('are welcome one every five seconds after that', async () => {
    const { clock, account, connections } = setting()
    for (let id = 0; id < 1_000; id++) connections(account(`subordinate ${id}`), 1)
    expect(connections(account('new'), 1).refused).toEqual(['rate_new_subjects'])
    await clock.advance('5s')
    connections(account('other'), 10)
    expect(connections(account('newer'), 10).taken).toBeLessThanOrEqual(10)
    await clock.advance('5s')
    connections(account('subordinate 999'), 1_000)
    expect(connections(account('newest'), 10)).toEqual({ taken: 10, refused: [] })
  })
})

it('500 processes of one user that connect at once, twice over with the default limits, are all taken', () => {
  const { account, connections, other } = setting({
    connections: { perSecond: 50, burst: 1_000 },
    calls: { perSecond: 250, burst: 2_000 },
  })
  other()
  for (let pid = 0; pid < 1_000; pid++) expect(connections(account('a', `1000:${pid}`), 1).taken).toBe(1)
})

it('an account that is found by its process alone is the last one of that name', () => {
  const { rates, account } = setting()
  expect(rates.lastAccount('1000:7')).toBeUndefined()
  const first = account('a', '1000:7')
  expect(rates.lastAccount('1000:7')).toBe(first)
  const second = account('b', '1000:7')
  expect(second).not.toBe(first)
  expect(rates.lastAccount('1000:7')).toBe(second)
})

import { beforeAll, describe, expect, it } from 'vitest'
import { settle } from '../../fakes/clock.js'
import { Crowd } from '../../simulation/crowd.js'

const MATCHED = 600
/** Workloads whose label changes, each several times. */
const RELABELLED = 20

/** Entry ids of a message, in order. */
const idsOf = (message: string | undefined) =>
  (message ?? '').split(',').map((part) => part.slice(0, part.indexOf(':')))

describe('10,000 entries, 1,000 workloads, 600 issuances, labels that change and a new authority', () => {
  let crowd: Crowd
  beforeAll(async () => {
    crowd = new Crowd({ entries: 10_000, workloads: 1_000, matched: MATCHED })
    crowd.open()
    for (let n = 0; n < MATCHED; n++) {
      crowd.issue(n)
      if (n % 5 === 0) crowd.relabel((n / 5) % RELABELLED, n % (MATCHED / 2))
      if (n % 50 === 0) await settle()
    }
    await settle()
    crowd.rotate()
    await settle()
    for (let n = 0; n < MATCHED; n++) crowd.issue(n)
    await settle()
  }, 60_000)

  it('give each workload what a look at every entry gives', () => {
    for (const member of crowd.members) {
      const expected = crowd.scan(member)
      expect(expected).toHaveLength(2)
      for (const { written } of member.calls) expect(idsOf(written.at(-1))).toEqual(expected)
    }
  })

  it('are encoded once per view and dialect', () => {
    for (const { times, views } of crowd.encoded) {
      expect(times).toBe(views.size)
      expect(times).toBeGreaterThan(MATCHED)
    }
    const [spiffe, authsec] = crowd.encoded
    expect(spiffe?.times).toBe(authsec?.times)
    const pushed = crowd.members.reduce((sum, { calls }) => sum + (calls[0]?.written.length ?? 0), 0)
    expect(spiffe?.times).toBeLessThan(pushed)
  })

  it('are pushed when something changed and only then', () => {
    for (const { calls } of crowd.members.slice(RELABELLED)) {
      // Both entries, the new authority, and each of the two renewals.
      for (const { written } of calls) expect(written.length).toBe(4)
      expect(calls[0]?.written).toEqual(calls[1]?.written)
    }
  })

  it('never change the first identity of a workload whose selectors stay the same', () => {
    for (const { calls } of crowd.members.slice(RELABELLED)) {
      for (const { written } of calls) expect(new Set(written.map((message) => idsOf(message)[0])).size).toBe(1)
    }
  })

  it('end no stream', () => {
    for (const { calls } of crowd.members) for (const { ended } of calls) expect(ended).toEqual([])
  })
})

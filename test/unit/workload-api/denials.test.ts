import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { covers } from '../../../agent/identity/selector.js'
import { type DenialRecord, Denials, nearestEntries } from '../../../agent/workload-api/denials.js'
import { FakeClock } from '../../fakes/clock.js'
import { entryOf } from '../../fakes/identities.js'

const FACTS = new Map(Object.entries({ 'unix:uid': '1000', 'unix:path': '/usr/bin/app', 'systemd:id': 'a.service' }))
const entry = (id: string, selectors: Record<string, string>, createdAt = 0) => entryOf(id, { selectors, createdAt })

describe('the entries that a caller came nearest to', () => {
  it('say for each selector what is wanted, what there is instead, and whether anybody knows', () => {
    const wanted = { 'unix:uid': '1000', 'systemd:id': 'b.service', 'docker:image': 'web:1', 'k8s:ns': 'shop' }
    expect(nearestEntries([entry('e', wanted)], FACTS, ['docker'], 5)).toEqual([
      {
        id: 'e',
        spiffeId: 'spiffe://example.org/e',
        lacks: [
          { key: 'systemd:id', wanted: 'b.service', found: 'a.service', unknown: false },
          { key: 'docker:image', wanted: 'web:1', found: null, unknown: true },
          { key: 'k8s:ns', wanted: 'shop', found: null, unknown: false },
        ],
      },
    ])
  })

  it('are those that lack least, then those that share most, then the oldest', () => {
    const entries = [
      entry('lacks-two', { 'unix:uid': '1000', 'unix:path': '/x', 'systemd:id': 'x' }),
      entry('shares-nothing', { 'unix:uid': '0' }),
      entry('young', { 'unix:uid': '1000', 'unix:path': '/y' }, 9),
      entry('old', { 'unix:uid': '1000', 'unix:path': '/z' }, 3),
      entry('shares-two', { 'unix:uid': '1000', 'unix:path': '/usr/bin/app', 'systemd:id': 'x' }, 99),
    ]
    const ids = (limit: number) => nearestEntries(entries, FACTS, [], limit).map(({ id }) => id)
    expect(ids(9)).toEqual(['shares-two', 'old', 'young', 'shares-nothing', 'lacks-two'])
    expect(ids(2)).toEqual(['shares-two', 'old'])
  })

  it('are never those that match, nor those that nobody can match', () => {
    const matching = entry('matching', { 'unix:uid': '1000' })
    expect(nearestEntries([matching, entry('empty', {})], FACTS, [], 5)).toEqual([])
  })

  it('are the same whatever the order of the entries, and no more than asked for', () => {
    const selectors = fc.dictionary(
      fc.constantFrom(...FACTS.keys(), 'k8s:ns'),
      fc.constantFrom('1000', 'x', 'a.service'),
    )
    const entries = fc.array(selectors, { maxLength: 20 }).map((all) => all.map((wanted, i) => entry(`e${i}`, wanted)))
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 6 }), (given, limit) => {
        const found = nearestEntries(given, FACTS, [], limit)
        expect(nearestEntries([...given].reverse(), FACTS, [], limit)).toEqual(found)
        const possible = given.filter((one) => one.selectors.size > 0 && !covers(FACTS, one.selectors))
        expect(found).toHaveLength(Math.min(limit, possible.length))
        for (const { lacks } of found) expect(lacks.length).toBeGreaterThan(0)
      }),
    )
  })
})

describe('the record of denials', () => {
  const denial = (id: string, uid = 2): Omit<DenialRecord, 'at'> => ({
    id,
    method: 'FetchX509SVID',
    code: 'entry.none',
    message: 'no identity',
    caller: { pid: 1, uid, gid: 3 },
    facts: FACTS,
    missing: [],
    trail: [],
    nearest: [],
  })

  it('has the last ones, with when they were', async () => {
    const clock = new FakeClock()
    const denials = new Denials(clock)
    for (let i = 0; i < 70; i++) {
      denials.add(denial(`d${i}`))
      await clock.advance(1_000)
    }
    expect([...denials].map(({ id }) => id)).toEqual(Array.from({ length: 64 }, (_, i) => `d${i + 6}`))
    expect(denials.get('d69')?.at).toBe(clock.now() - 1_000)
    expect([denials.get('d5'), denials.get('other')]).toEqual([null, null])
  })

  it('keeps those of others, however often somebody is denied', () => {
    const denials = new Denials(new FakeClock(), 4)
    denials.add(denial('quiet', 1000))
    for (let i = 0; i < 100; i++) denials.add(denial(`loud${i}`, 666))
    denials.add(denial('late', 1001))
    expect([...denials].map(({ id }) => id)).toEqual(['quiet', 'loud98', 'loud99', 'late'])
  })
})

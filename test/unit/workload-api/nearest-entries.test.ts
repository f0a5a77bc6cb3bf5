import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { covers } from '../../../agent/identity/selector.js'
import { nearestEntries } from '../../../agent/workload-api/nearest-entries.js'
import { entryOf } from '../../fakes/identities.js'

const FACTS = new Map(Object.entries({ 'unix:uid': '1000', 'unix:path': '/usr/bin/app', 'systemd:id': 'a.service' }))
const entry = (id: string, selectors: Record<string, string>, createdAt = 0) => entryOf(id, { selectors, createdAt })

describe('the entries that a caller came nearest to', () => {
  it('say for each selector what is wanted and what there is instead', () => {
    const wanted = { 'unix:uid': '1000', 'systemd:id': 'b.service', 'docker:image': 'web:1', 'k8s:ns': 'shop' }
    expect(nearestEntries([entry('e', wanted)], FACTS, 5)).toEqual([
      {
        id: 'e',
        spiffeId: 'spiffe://example.org/e',
        lacks: [
          { key: 'systemd:id', wanted: 'b.service', found: 'a.service' },
          { key: 'docker:image', wanted: 'web:1', found: null },
          { key: 'k8s:ns', wanted: 'shop', found: null },
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
    const ids = (limit: number) => nearestEntries(entries, FACTS, limit).map(({ id }) => id)
    expect(ids(9)).toEqual(['shares-two', 'old', 'young', 'shares-nothing', 'lacks-two'])
    expect(ids(2)).toEqual(['shares-two', 'old'])
  })

  it('are never those that match, nor those that nobody can match', () => {
    const matching = entry('matching', { 'unix:uid': '1000' })
    expect(nearestEntries([matching, entry('empty', {})], FACTS, 5)).toEqual([])
  })

  it('are the same whatever the order of the entries, and no more than asked for', () => {
    const selectors = fc.dictionary(
      fc.constantFrom(...FACTS.keys(), 'k8s:ns'),
      fc.constantFrom('1000', 'x', 'a.service'),
    )
    const entries = fc.array(selectors, { maxLength: 20 }).map((all) => all.map((wanted, i) => entry(`e${i}`, wanted)))
    fc.assert(
      fc.property(entries, fc.integer({ min: 1, max: 6 }), (given, limit) => {
        const found = nearestEntries(given, FACTS, limit)
        expect(nearestEntries([...given].reverse(), FACTS, limit)).toEqual(found)
        const possible = given.filter((one) => one.selectors.size > 0 && !covers(FACTS, one.selectors))
        expect(found).toHaveLength(Math.min(limit, possible.length))
        for (const { lacks } of found) expect(lacks.length).toBeGreaterThan(0)
      }),
    )
  })
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byAge, type Entry } from '../../../agent/identity/entry.js'
import { covers, platformOf, type Selectors } from '../../../agent/identity/selector.js'
import { EntryIndex } from '../../../agent/svids/entry-index.js'
import { entryOf } from '../../fakes/identities.js'

const selectorsOf = (pairs: Record<string, string>): Selectors => new Map(Object.entries(pairs))
const match = (
  entries: readonly Entry[],
  pairs: Record<string, string>,
  unavailable: readonly string[] = [],
  limit = 64,
) => new EntryIndex(entries).match(selectorsOf(pairs), unavailable, limit)

describe('EntryIndex', () => {
  it('matches every entry whose selectors the workload has, all of them, oldest first', () => {
    const entries = [
      entryOf('young', { selectors: { 'unix:uid': '1' }, createdAt: 3 }),
      entryOf('old', { selectors: { 'unix:uid': '1', 'unix:path': '/bin/a' }, createdAt: 1 }),
      entryOf('other', { selectors: { 'unix:uid': '2' }, createdAt: 0 }),
      entryOf('stricter', { selectors: { 'unix:uid': '1', 'unix:path': '/bin/b' }, createdAt: 0 }),
    ]
    expect(match(entries, { 'unix:uid': '1', 'unix:path': '/bin/a', 'unix:gid': '9' })).toEqual({
      ids: ['old', 'young'],
      truncated: false,
      uncertain: false,
    })
  })

  it('matches an entry without selectors to nobody, and does not count it', () => {
    const entries = [entryOf('all', { selectors: {} }), entryOf('a')]
    expect(match(entries, { 'unix:uid': '1000' }).ids).toEqual(['a'])
    expect(match(entries, {}).ids).toEqual([])
    expect(new EntryIndex(entries).size).toBe(1)
  })

  it('keeps pairs apart that would read the same when joined', () => {
    const entries = [entryOf('a', { selectors: { 'x:a': 'b:c' } })]
    expect(match(entries, { 'x:a:b': 'c' }).ids).toEqual([])
  })

  it('cuts at the limit, keeps the oldest and says so', () => {
    const entries = Array.from({ length: 5 }, (_, i) => entryOf(`e${i}`, { createdAt: 5 - i }))
    expect(match(entries, { 'unix:uid': '1000' }, [], 3)).toEqual({
      ids: ['e4', 'e3', 'e2'],
      truncated: true,
      uncertain: false,
    })
    expect(match(entries, { 'unix:uid': '1000' }, [], 5).truncated).toBe(false)
  })

  describe('when a platform is unavailable', () => {
    const docker = entryOf('d', { selectors: { 'unix:uid': '1', 'docker:image': 'shop' } })

    it('is uncertain where an entry needs nothing else', () => {
      expect(match([docker], { 'unix:uid': '1' }, ['docker']).uncertain).toBe(true)
      expect(match([entryOf('d', { selectors: { 'docker:image': 'shop' } })], {}, ['docker']).uncertain).toBe(true)
    })

    it('is certain where what is known contradicts the entry', () => {
      expect(match([docker], { 'unix:uid': '2' }, ['docker']).uncertain).toBe(false)
      expect(match([docker], {}, ['docker']).uncertain).toBe(false)
    })

    it('is certain where no entry needs the platform', () => {
      expect(match([entryOf('u', { selectors: { 'unix:uid': '2' } })], { 'unix:uid': '1' }, ['docker']).uncertain).toBe(
        false,
      )
    })

    it('goes by the platform that is unavailable, not by another', () => {
      expect(match([docker], { 'unix:uid': '1' }, ['k8s']).uncertain).toBe(false)
      expect(match([docker], { 'unix:uid': '1' }, ['k8s', 'docker']).uncertain).toBe(true)
    })

    it('still matches on what was known before and is kept', () => {
      expect(match([docker], { 'unix:uid': '1', 'docker:image': 'shop' }, ['docker'])).toEqual({
        ids: ['d'],
        truncated: false,
        uncertain: false,
      })
    })

    it('is not uncertain about entries that matched and were cut off', () => {
      const entries = Array.from({ length: 3 }, (_, i) => entryOf(`e${i}`))
      expect(match(entries, { 'unix:uid': '1000' }, ['docker'], 1)).toEqual({
        ids: ['e0'],
        truncated: true,
        uncertain: false,
      })
    })
  })

  it('agrees with a scan of all entries, whatever entries, selectors and unavailable platforms', () => {
    const key = fc.constantFrom('unix:uid', 'unix:gid', 'docker:image', 'docker:label:a', 'k8s:ns', 'k8s:sa')
    const selectors = fc.dictionary(key, fc.constantFrom('1', '2', '3'), { maxKeys: 4 })
    const world = fc.record({
      entries: fc.array(fc.tuple(selectors, fc.nat(5)), { maxLength: 25 }),
      selectors,
      unavailable: fc.uniqueArray(fc.constantFrom('unix', 'docker', 'k8s'), { maxLength: 2 }),
      limit: fc.integer({ min: 1, max: 6 }),
    })
    fc.assert(
      fc.property(world, ({ entries: wishes, selectors: pairs, unavailable, limit }) => {
        const entries = wishes.map(([wanted, createdAt], i) => entryOf(`e${i}`, { selectors: wanted, createdAt }))
        expect(match(entries, pairs, unavailable, limit)).toEqual(scan(entries, selectorsOf(pairs), unavailable, limit))
      }),
      { numRuns: 500 },
    )
  })
})

/** What a match is, said as plainly as possible. */
function scan(entries: readonly Entry[], known: Selectors, unavailable: readonly string[], limit: number) {
  const matched = entries.filter((entry) => covers(known, entry.selectors)).sort(byAge)
  const uncertain = entries.some(
    (entry) =>
      entry.selectors.size > 0 &&
      !matched.includes(entry) &&
      [...entry.selectors].every(([key, value]) => known.get(key) === value || unavailable.includes(platformOf(key))),
  )
  return { ids: matched.slice(0, limit).map(({ id }) => id), truncated: matched.length > limit, uncertain }
}

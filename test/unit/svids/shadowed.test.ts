import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../agent/identity/entry.js'
import { covers } from '../../../agent/identity/selector.js'
import { shadowed } from '../../../agent/svids/shadows.js'
import { type EntryWish, entryOf } from '../../fakes/identities.js'

describe('shadowed', () => {
  const names = (...entries: readonly Entry[]) => Object.fromEntries(shadowed(entries))
  const everywhere = (id: string, wish: EntryWish) => entryOf(id, { ...wish, assigned: false })

  it.each<[string, readonly Entry[], Record<string, string>]>([
    ['equal selectors', [everywhere('e', {}), entryOf('own')], { e: 'own' }],
    [
      "the own entry's are a part of the other's",
      [everywhere('e', { selectors: { 'a:x': '1', 'a:y': '2' } }), entryOf('own', { selectors: { 'a:y': '2' } })],
      { e: 'own' },
    ],
    [
      'the own entry asks for more: the server is not sent it',
      [everywhere('e', { selectors: { 'a:x': '1' } }), entryOf('own', { selectors: { 'a:x': '1', 'a:y': '2' } })],
      {},
    ],
    [
      'other values',
      [everywhere('e', { selectors: { 'a:x': '1' } }), entryOf('own', { selectors: { 'a:x': '2' } })],
      {},
    ],
    ['both own: the youngest wins', [entryOf('a', { createdAt: 2 }), entryOf('b', { createdAt: 1 })], { b: 'a' }],
    [
      'both everywhere: the youngest wins',
      [everywhere('a', { createdAt: 1 }), everywhere('b', { createdAt: 2 })],
      { a: 'b' },
    ],
    [
      'three, of whom the oldest has the name of the youngest',
      [
        entryOf('a', { path: '/x', createdAt: 1 }),
        entryOf('b', { createdAt: 2 }),
        entryOf('c', { path: '/x', createdAt: 3 }),
      ],
      { b: 'c' },
    ],
    ['the winner has the same name', [everywhere('e', { path: '/x' }), entryOf('own', { path: '/x' })], {}],
    ['the winner has no selectors', [everywhere('e', {}), entryOf('own', { selectors: {} })], {}],
    [
      'of several the one with the most selectors wins, and it has the same name',
      [
        everywhere('e', { path: '/x', selectors: { 'a:x': '1', 'a:y': '2' } }),
        entryOf('less', { selectors: { 'a:x': '1' }, createdAt: 0 }),
        entryOf('most', { path: '/x', selectors: { 'a:x': '1', 'a:y': '2' }, createdAt: 9 }),
      ],
      {},
    ],
    [
      'of several the one with the most selectors wins, and it has another name',
      [
        everywhere('e', { path: '/x', selectors: { 'a:x': '1', 'a:y': '2' } }),
        entryOf('less', { path: '/x', selectors: { 'a:x': '1' }, createdAt: 0 }),
        entryOf('most', { selectors: { 'a:x': '1', 'a:y': '2' }, createdAt: 9 }),
      ],
      { e: 'most' },
    ],
    [
      'nobody can say for certain which of two equals wins: that is asked',
      [everywhere('e', { path: '/x' }), entryOf('one', { path: '/x', createdAt: 1 }), entryOf('two', { createdAt: 2 })],
      { one: 'two' },
    ],
  ])('%s', (_what, entries, expected) => {
    expect(names(...entries)).toEqual(expected)
  })

  it('finds the youngest of those that win, whichever comes first', () => {
    const old = entryOf('z', { createdAt: 1 })
    const young = entryOf('a', { createdAt: 2 })
    expect(names(everywhere('e', {}), young, old)).toEqual({ e: 'a', z: 'a' })
    expect(names(old, everywhere('e', {}), young)).toEqual({ e: 'a', z: 'a' })
  })

  it('finds the youngest of those that the server has not refused', () => {
    const [one, two, three] = ['one', 'two', 'three'].map((id, createdAt) => entryOf(id, { createdAt }))
    if (!one || !two || !three) throw new TypeError('three entries')
    const found = (...lost: string[]) => Object.fromEntries(shadowed([one, two, three], new Set(lost)))
    expect(found('three')).toEqual({ one: 'two', three: 'two' })
    expect(found('three', 'two')).toEqual({ two: 'one', three: 'one' })
    expect(found('three', 'two', 'one')).toEqual({ one: 'three', two: 'three' })
  })

  it('is found among a hundred thousand entries with one selector in a moment, and among more without failing', () => {
    const many = Array.from({ length: 200_000 }, (_, i) => entryOf(`e${i}`, { assigned: i % 2 === 0 }))
    expect(shadowed(many).size).toBe(199_999)
  })

  it('is found among as many entries that all have selectors of their own', () => {
    const many = Array.from({ length: 100_000 }, (_, i) =>
      entryOf(`e${i}`, { assigned: i % 2 === 0, selectors: { 'k8s:ns': 'default', 'k8s:pod-name': String(i >> 1) } }),
    )
    expect(shadowed(many).size).toBe(50_000)
  })

  it('agrees with what the server does, wherever that is certain', () => {
    const selectors = fc.dictionary(fc.constantFrom('a:x', 'a:y', 'a:z'), fc.constantFrom('1', '2'), { minKeys: 1 })
    const wishes = fc.array(fc.tuple(selectors, fc.boolean(), fc.constantFrom('/p', '/q', '/r')), { maxLength: 8 })
    fc.assert(
      fc.property(wishes, (all) => {
        const entries = all.map(([wanted, assigned, path], i) =>
          entryOf(`e${i}`, { selectors: wanted, assigned, path, createdAt: i }),
        )
        const found = shadowed(entries)
        for (const entry of entries) {
          const possible = winners(entries, entry)
          // Where it is of the winners' class the youngest wins; else it is asked wherever it might have the name.
          const own = possible.some((winner) => winner === entry)
          const certain = own ? possible.slice(-1) : possible
          const never = !certain.some((winner) => winner.spiffeId.equals(entry.spiffeId))
          expect(found.has(entry.id)).toBe(never)
        }
      }),
      { numRuns: 500 },
    )
  })
})

/** Whom the server may issue when it is sent exactly the selectors of an entry: equals cannot be told apart. */
function winners(entries: readonly Entry[], asked: Entry): readonly Entry[] {
  const matching = entries.filter((entry) => covers(asked.selectors, entry.selectors))
  const assigned = matching.filter((entry) => entry.assigned)
  const preferred = assigned.length > 0 ? assigned : matching
  const most = Math.max(...preferred.map((entry) => entry.selectors.size))
  return preferred.filter((entry) => entry.selectors.size === most)
}

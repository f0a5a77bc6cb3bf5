import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { byAge, sameEntry } from '../../../agent/identity/entry.js'
import { entryOf } from '../../fakes/identities.js'

describe('byAge', () => {
  it('puts the oldest first, then goes by id', () => {
    const entries = [
      entryOf('b', { createdAt: 2 }),
      entryOf('c', { createdAt: 1 }),
      entryOf('a', { createdAt: 2 }),
      entryOf('d', { createdAt: 0 }),
    ]
    expect(entries.sort(byAge).map(({ id }) => id)).toEqual(['d', 'c', 'a', 'b'])
  })

  it('gives the same order whatever the order of arrival', () => {
    const entries = fc.uniqueArray(fc.tuple(fc.string({ minLength: 1 }), fc.nat(3)), { selector: ([id]) => id })
    fc.assert(
      fc.property(entries, fc.func(fc.nat()), (pairs, weight) => {
        const all = pairs.map(([id, createdAt]) => entryOf(id, { path: '/x', createdAt }))
        const shuffled = [...all].sort((a, b) => weight(a.id) - weight(b.id))
        expect(shuffled.sort(byAge).map(({ id }) => id)).toEqual([...all].sort(byAge).map(({ id }) => id))
      }),
    )
  })
})

describe('sameEntry', () => {
  const entry = entryOf('a', { selectors: { 'unix:uid': '1', 'unix:gid': '2' }, ttlSeconds: 60, createdAt: 5 })

  it('does not mind the order of selectors', () => {
    expect(
      sameEntry(entry, entryOf('a', { selectors: { 'unix:gid': '2', 'unix:uid': '1' }, ttlSeconds: 60, createdAt: 5 })),
    ).toBe(true)
  })

  it.each([
    ['id', entryOf('b', { path: '/a', selectors: { 'unix:uid': '1', 'unix:gid': '2' }, ttlSeconds: 60, createdAt: 5 })],
    ['name', { ...entry, spiffeId: entryOf('z').spiffeId }],
    ['assignment', { ...entry, assigned: false }],
    ['life', { ...entry, ttlSeconds: null }],
    ['age', { ...entry, createdAt: 6 }],
    [
      'value of a selector',
      {
        ...entry,
        selectors: new Map([
          ['unix:uid', '1'],
          ['unix:gid', '3'],
        ]),
      },
    ],
    ['one selector less', { ...entry, selectors: new Map([['unix:uid', '1']]) }],
    ['one selector more', { ...entry, selectors: new Map([...entry.selectors, ['unix:path', '/x']]) }],
    [
      'key of a selector',
      {
        ...entry,
        selectors: new Map([
          ['unix:uid', '1'],
          ['unix:group', '2'],
        ]),
      },
    ],
  ])('sees another %s', (_what, other) => {
    expect(sameEntry(entry, other)).toBe(false)
  })
})

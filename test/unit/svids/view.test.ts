import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { type View, Views } from '../../../agent/svids/view.js'
import { collectUntil } from '../../fakes/garbage.js'
import { bundlesOf, issuedOf } from '../../fakes/identities.js'

const bundles = bundlesOf('example.org')
const of = (states: Record<string, EntryState>) => ({ states: new Map(Object.entries(states)), bundles })

describe('Views', () => {
  it('gives the same object for the same content, whatever the snapshot', () => {
    const views = new Views()
    const a = issuedOf('a')
    const view = views.of(of({ a, b: issuedOf('b') }), ['a'])
    expect(views.of(of({ a: { ...a, failures: { count: 1, retryAt: 0, code: 'icp.timeout' } } }), ['a'])).toBe(view)
    expect(view.svids).toEqual([{ entryId: 'a', svid: a.held.svid }])
    expect(view.bundles).toBe(bundles)
  })

  it('gives another object for another SVID, other bundles, another order or another entry', () => {
    const views = new Views()
    const [a, b] = [issuedOf('a'), issuedOf('b')]
    const all = [
      views.of(of({ a, b }), ['a', 'b']),
      views.of(of({ a, b }), ['b', 'a']),
      views.of(of({ a, b }), ['a']),
      views.of(of({ a: issuedOf('a'), b }), ['a', 'b']),
      views.of({ ...of({ a, b }), bundles: bundlesOf('example.org') }, ['a', 'b']),
      views.of(of({ c: a, b }), ['c', 'b']),
      views.of(of({}), []),
    ]
    expect(new Set(all).size).toBe(all.length)
  })

  it('shows what is in service, not what is held back', () => {
    const next = { held: issuedOf('a').held, from: 5 }
    const a = { ...issuedOf('a'), next }
    expect(new Views().of(of({ a }), ['a']).svids[0]?.svid).toBe(a.held.svid)
  })

  it.each<[string, EntryState]>([
    ['wanted', { kind: 'wanted' }],
    ['shadowed', { kind: 'shadowed', by: 'b' }],
    [
      'refused',
      {
        kind: 'refused',
        code: 'icp.no_match',
        message: '',
        until: 0,
        failures: { count: 1, retryAt: 0, code: 'icp.no_match' },
      },
    ],
  ])('is a defect for an entry that is %s', (_kind, state) => {
    expect(() => new Views().of(of({ a: state }), ['a'])).toThrow(TypeError)
  })

  it('does not confuse entry ids that look like its own keys', () => {
    const id = fc.string({ minLength: 1, maxLength: 6, unit: fc.constantFrom('1', ':', ',', '|', 'a') })
    fc.assert(
      fc.property(fc.uniqueArray(id, { maxLength: 4 }), fc.uniqueArray(id, { maxLength: 4 }), (left, right) => {
        const views = new Views()
        const snapshot = of(Object.fromEntries([...left, ...right].map((name) => [name, issuedOf('x')])))
        const same = left.length === right.length && left.every((name, i) => name === right[i])
        expect(views.of(snapshot, left) === views.of(snapshot, right)).toBe(same)
      }),
    )
  })

  it('forgets views that nobody shows any more, and keeps those that somebody does', async () => {
    const views = new Views()
    const kept: View[] = []
    const a = issuedOf('a')
    for (let i = 0; i < 1000; i++) {
      const view = views.of(of({ a: i % 100 === 0 ? a : issuedOf('a') }), ['a'])
      if (i === 0) kept.push(view)
    }
    // The engine may still hold the last one in a register.
    expect(await collectUntil(() => views.size <= 2)).toBe(true)
    expect(views.of(of({ a }), ['a'])).toBe(kept[0])
  })
})

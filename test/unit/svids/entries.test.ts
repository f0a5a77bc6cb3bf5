import { describe, expect, it } from 'vitest'
import type { Entry } from '../../../agent/identity/entry.js'
import { replaceEntries, withdrawsEverything } from '../../../agent/svids/entries.js'
import type { EntryState, Failures } from '../../../agent/svids/entry-state.js'
import { entriesOf, entryOf, heldOf, issuedOf, snapshotOf } from '../../fakes/identities.js'

const failures: Failures = { count: 2, retryAt: 99, code: 'icp.server_error' }
const refused: EntryState = { kind: 'refused', code: 'icp.no_match', message: '', until: 99, failures }

describe('withdrawsEverything', () => {
  it.each<[string, readonly Entry[], readonly Entry[], boolean]>([
    ['nothing was known', [], [], false],
    ['nothing was known, something comes', [], [entryOf('a')], false],
    ['all go', [entryOf('a'), entryOf('b')], [], true],
    ['all are replaced by others', [entryOf('a')], [entryOf('b')], true],
    ['one stays', [entryOf('a'), entryOf('b')], [entryOf('b')], false],
    ['one stays, changed', [entryOf('a')], [entryOf('a', { path: '/other' })], false],
  ])('%s: %#', (_what, before, after, expected) => {
    expect(withdrawsEverything(entriesOf(...before), after)).toBe(expected)
  })
})

describe('replaceEntries', () => {
  it('says nothing where nothing changed, whatever the order', () => {
    const before = snapshotOf([entryOf('a'), entryOf('b')])
    expect(replaceEntries(before, [entryOf('b'), entryOf('a')])).toBeNull()
  })

  it('makes the first sync count also where there are no entries', () => {
    const before = snapshotOf([], {}, { synced: false })
    expect(replaceEntries(before, [])).toMatchObject({ parts: { synced: true }, added: 0, removed: [], changed: [] })
  })

  it('counts what comes, goes and changes, and keeps the objects of what stays', () => {
    const [a, b, c] = [entryOf('a'), entryOf('b'), entryOf('c')]
    const replacement = replaceEntries(snapshotOf([a, b, c]), [
      entryOf('a'),
      entryOf('b', { selectors: { 'unix:uid': '7' } }),
      entryOf('d'),
    ])
    expect(replacement).toMatchObject({ added: 1, removed: [c], changed: ['b'] })
    expect(replacement?.parts.entries.get('a')).toBe(a)
    expect([...(replacement?.parts.entries.keys() ?? [])]).toEqual(['a', 'b', 'd'])
    expect(replacement?.parts.index.match(new Map([['unix:uid', '7']]), [], 9).ids).toEqual(['b'])
  })

  it('drops the SVIDs of what goes, the one that is held back included, and names their serials', () => {
    const state = { ...issuedOf('a', { serial: '0a' }), next: { held: heldOf('a', { serial: '0b' }), from: 1 } }
    const replacement = replaceEntries(snapshotOf([entryOf('a'), entryOf('b')], { a: state, b: refused }), [])
    expect(replacement?.orphaned).toEqual(['0a', '0b'])
    expect(replacement?.parts.states.size).toBe(0)
  })

  it('never lets an entry of another name inherit the SVID', () => {
    const before = snapshotOf([entryOf('a')], { a: issuedOf('a', { serial: '0a' }) })
    const replacement = replaceEntries(before, [entryOf('a', { path: '/another' })])
    expect(replacement?.parts.states.has('a')).toBe(false)
    expect(replacement?.orphaned).toEqual(['0a'])
  })

  it('keeps the SVID where only the selectors change: they say who may have it, not what it is', () => {
    const before = snapshotOf([entryOf('a')], { a: issuedOf('a') })
    const replacement = replaceEntries(before, [entryOf('a', { selectors: { 'unix:uid': '7' } })])
    expect(replacement?.parts.states.get('a')).toEqual(before.states.get('a'))
    expect(replacement?.orphaned).toEqual([])
  })

  it.each<[string, EntryState]>([
    ['a refusal', refused],
    ['failures', { kind: 'wanted', failures }],
  ])('forgets %s of an entry that was changed: it may have been mended', (_what, state) => {
    const before = snapshotOf([entryOf('a')], { a: state })
    const replacement = replaceEntries(before, [entryOf('a', { selectors: { 'unix:uid': '7' } })])
    expect(replacement?.parts.states.has('a')).toBe(false)
  })

  it('forgets failures of a renewal of an entry that was changed, and serves what is there', () => {
    const state = issuedOf('a')
    const before = snapshotOf([entryOf('a')], { a: { ...state, failures } })
    const replacement = replaceEntries(before, [entryOf('a', { selectors: { 'unix:uid': '7' } })])
    expect(replacement?.parts.states.get('a')).toEqual(state)
  })

  it('renews at once where another life is asked for, and serves what is there meanwhile', () => {
    const state = { ...issuedOf('a', { notBefore: 5 }), next: { held: heldOf('a', { notBefore: 9 }), from: 1 } }
    const replacement = replaceEntries(snapshotOf([entryOf('a')], { a: state }), [entryOf('a', { ttlSeconds: 60 })])
    expect(replacement?.parts.states.get('a')).toEqual({
      ...state,
      held: { svid: state.held.svid, renewAt: 0 },
      next: { held: { svid: state.next.held.svid, renewAt: 0 }, from: 1 },
    })
  })

  it('marks and unmarks what another entry always wins over, but takes no living SVID away', () => {
    const all = entryOf('all', { assigned: false, selectors: { 'unix:uid': '1', 'unix:gid': '2' } })
    const own = entryOf('own', { selectors: { 'unix:uid': '1' } })
    const marked = replaceEntries(snapshotOf([all]), [all, own])
    expect(marked?.parts.states.get('all')).toEqual({ kind: 'shadowed', by: 'own' })
    const unmarked = replaceEntries(snapshotOf([], {}, marked?.parts ?? {}), [all])
    expect(unmarked?.parts.states.has('all')).toBe(false)
    const living = replaceEntries(snapshotOf([all], { all: issuedOf('all') }), [all, own])
    expect(living?.parts.states.get('all')?.kind).toBe('issued')
  })

  it('leaves the snapshot as it was', () => {
    const before = snapshotOf([entryOf('a')], { a: issuedOf('a') })
    replaceEntries(before, [])
    expect([before.entries.size, before.states.size]).toEqual([1, 1])
  })
})

import { describe, expect, test } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { entryStatus } from '../../../agent/svids/entry-status.js'
import { entryOf, heldOf, snapshotOf } from '../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const END = NOW + 60_000
const issued: EntryState = { kind: 'issued', held: heldOf('web', { notBefore: NOW - 1, notAfter: END }) }
const failures = { count: 3, retryAt: NOW + 9, code: 'icp.timeout' as const }
const PLAIN = { svidUntil: null, expired: false, notIssued: [], failures: null }

const statusOf = (state: EntryState | undefined, now = NOW, selectors: Record<string, string> = { 'unix:uid': '1' }) =>
  entryStatus(snapshotOf([entryOf('web', { selectors }), entryOf('new')], state ? { web: state } : {}), 'web', now)

describe('how it stands with an entry', () => {
  test('that nobody has asked for, or that is unknown: idle', () => {
    expect(statusOf(undefined)).toEqual({ ...PLAIN, state: 'idle' })
    expect(entryStatus(snapshotOf([]), 'gone', NOW)).toEqual({ ...PLAIN, state: 'idle' })
  })

  test('that is served: until when, to that very moment', () => {
    expect(statusOf(issued, END - 1)).toEqual({ ...PLAIN, state: 'issued', svidUntil: END })
    expect(statusOf(issued, END)).toEqual({ ...PLAIN, state: 'issued' })
  })

  test('whose successor is held back: until when the one ends that is served', () => {
    const next = { held: heldOf('web', { notBefore: NOW, notAfter: END + 1 }), from: NOW + 5 }
    expect(statusOf({ ...issued, next })).toMatchObject({ svidUntil: END })
  })

  test('that is wanted: what failed, and when it is tried again', () => {
    expect(statusOf({ kind: 'wanted', failures })).toEqual({ ...PLAIN, state: 'wanted', failures })
    expect(statusOf({ kind: 'wanted', expired: true })).toEqual({ ...PLAIN, state: 'wanted', expired: true })
  })

  test('that is refused: in the words of the refusal, whatever failed since', () => {
    const state: EntryState = { kind: 'refused', code: 'icp.no_match', message: 'no', until: NOW + 9, failures }
    const notIssued = [{ code: 'icp.no_match', reason: 'no' }]
    expect(statusOf(state)).toEqual({ ...PLAIN, state: 'refused', notIssued, failures })
  })

  test('in whose place another one is issued: by which, and until when its SVID is served', () => {
    const reason = 'entry new (spiffe://example.org/new) wins over entry web (spiffe://example.org/web) on the server'
    expect(statusOf({ kind: 'shadowed', by: 'new' }).notIssued).toEqual([{ code: 'entry.shadowed', reason }])
    expect(statusOf({ ...issued, shadow: { by: 'new' } }).notIssued).toEqual([
      { code: 'entry.shadowed', reason: `${reason}; its SVID is served until 2026-01-01T00:01:00.000Z` },
    ])
    expect(statusOf({ kind: 'shadowed', by: 'gone' }).notIssued[0]?.reason).toContain('entry gone (unknown) wins')
  })

  test('without selectors: it matches nobody, whatever else there is', () => {
    const matchesNobody = { code: 'entry.invalid', reason: 'it has no selectors, so it matches no workload' }
    expect(statusOf(undefined, NOW, {}).notIssued).toEqual([matchesNobody])
    expect(statusOf({ kind: 'shadowed', by: 'new' }, NOW, {}).notIssued).toHaveLength(2)
  })
})

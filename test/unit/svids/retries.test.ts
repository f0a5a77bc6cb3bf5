import { describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../../agent/errors.js'
import { type EntryState, failuresOf, transition } from '../../../agent/svids/entry-state.js'
import { changesBy } from '../../../agent/svids/state-changes.js'
import { issuedOf } from '../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')

/** When the next try is; what is refused says it twice, and the same. */
function retryAtOf(state: EntryState): number | null {
  const retryAt = failuresOf(state)?.retryAt ?? null
  if (state.kind === 'refused') expect(state.until).toBe(retryAt)
  return retryAt
}

/** The waits after so many failures in a row, in seconds. */
function waits(code: ErrorCode, times: number, waiting: boolean, outlived = true, before?: EntryState): number[] {
  let state = before
  return Array.from({ length: times }, () => {
    const terms = { fraction: 1, baseMs: 1_000, waiting, outlived }
    state = transition(state, { kind: 'failed', code, message: '', ...terms }, NOW)
    return ((retryAtOf(state) ?? NOW) - NOW) / 1_000
  })
}

describe('after a failure', () => {
  test('an entry that somebody waits for is tried every few seconds for a while, then ever less', () => {
    const all = waits('icp.unreachable', 18, true)
    expect(all.slice(0, 5)).toEqual([1, 2, 4, 5, 5])
    expect(all.slice(3, 12)).toEqual(Array(9).fill(5))
    expect(all.slice(12)).toEqual([5, 10, 20, 40, 60, 60])
  })

  test('a renewal that nobody waits for backs off to a minute', () => {
    expect(waits('icp.unreachable', 8, false)).toEqual([1, 2, 4, 8, 16, 32, 60, 60])
  })

  test('a refusal of the entry itself is not asked about again for half a minute, later for half an hour', () => {
    expect(waits('icp.no_match', 8, true)).toEqual([30, 60, 120, 240, 480, 960, 1800, 1800])
  })

  test('an entry that fails while others are issued ends at half an hour, whoever waits', () => {
    expect(waits('icp.server_error', 9, true)).toEqual([30, 60, 120, 240, 480, 960, 1800, 1800, 1800])
  })

  test('an entry that fails while nothing is issued is not to blame: a minute at most', () => {
    expect(Math.max(...waits('icp.server_error', 40, true, false))).toBe(60)
    expect(Math.max(...waits('icp.server_error', 40, false, false))).toBe(60)
  })

  test('after an outage an entry of its own begins with half a minute, and an outage makes its wait no longer', () => {
    const outage: EntryState = { kind: 'wanted', failures: { count: 40, retryAt: NOW, code: 'icp.server_error' } }
    expect(waits('icp.server_error', 3, true, true, outage)).toEqual([30, 60, 120])
    const failures = { count: 42, own: 2, retryAt: NOW, code: 'icp.server_error' } as const
    const refused: EntryState = { kind: 'refused', code: 'icp.server_error', message: '', until: NOW, failures }
    expect(waits('icp.timeout', 3, true, false, refused)).toEqual([60, 60, 60])
  })

  test('a renewal that fails while others are issued goes on: it has an SVID that could be issued', () => {
    const living = issuedOf('a', { notBefore: NOW, notAfter: NOW + 300_000 })
    expect(Math.max(...waits('icp.server_error', 9, false, true, living))).toBe(60)
  })
})

const failing = (code: ErrorCode, retryAt: number): EntryState => ({
  kind: 'wanted',
  failures: { count: 2, retryAt, code },
})

describe('catching up', () => {
  const states = new Map<string, EntryState>([
    ['away', failing('icp.unreachable', NOW + 60_000)],
    ['sick', failing('icp.server_error', NOW + 60_000)],
    ['refused', { ...refused('icp.no_match'), until: NOW + 60_000 }],
    ['fine', { kind: 'wanted' }],
  ])

  test('a server that answers again is asked for what failed for want of an answer', () => {
    expect([...changesBy(states, { kind: 'server-answers' }, NOW).keys()]).toEqual(['away'])
  })

  test('a server that issues again is asked for all but what it refused', () => {
    const changes = changesBy(states, { kind: 'server-issues' }, NOW)
    expect([...changes.keys()]).toEqual(['away', 'sick'])
    for (const state of changes.values()) expect(retryAtOf(state)).toBe(0)
  })

  test('what depends on something that has changed is tried as if it had not failed before, and stays what it is', () => {
    const changes = changesBy(states, { kind: 'conditions-changed' }, NOW)
    expect([...changes.keys()]).toEqual(['away', 'sick', 'refused'])
    for (const state of changes.values()) expect(retryAtOf(state)).toBe(0)
    expect(changes.get('refused')).toMatchObject({ kind: 'refused', code: 'icp.no_match', failures: { count: 0 } })
  })

  test('states that are due already stay the same', () => {
    expect(changesBy(new Map([['due', failing('icp.timeout', 0)]]), { kind: 'server-answers' }, NOW).size).toBe(0)
  })
})

test('a wall clock that is set back by an hour makes no wait longer', () => {
  const changes = changesBy(
    new Map<string, EntryState>([
      ['failing', failing('icp.timeout', NOW + 5_000)],
      ['refused', refused('icp.no_match')],
      ['fine', { kind: 'wanted' }],
    ]),
    { kind: 'clock-set-back', byMs: 3_600_000 },
    NOW,
  )
  expect([...changes.keys()]).toEqual(['failing', 'refused'])
  const [first, second] = [...changes.values()].map((state) => retryAtOf(state))
  expect(first).toBe(NOW + 5_000 - 3_600_000)
  expect(second).toBe(NOW + 30_000 - 3_600_000)
})

function refused(code: ErrorCode) {
  const failures = { count: 1, retryAt: NOW + 30_000, code }
  return { kind: 'refused', code, message: '', until: NOW + 30_000, failures } as const
}

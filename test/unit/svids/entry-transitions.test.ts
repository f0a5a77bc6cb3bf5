import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ERROR_CODES, type ErrorCode } from '../../../agent/errors.js'
import {
  changesAt,
  type EntryEvent,
  type EntryState,
  type Failures,
  transition,
} from '../../../agent/svids/entry-state.js'
import { failureClass } from '../../../agent/svids/failure-class.js'
import { heldOf } from '../../fakes/identities.js'

/** Wall clock of all rows. */
const NOW = 1_000_000
const life = (left: number) => ({ notBefore: NOW + left - 1_000, notAfter: NOW + left, renewAt: NOW + left - 500 })
const now = (state: { held: ReturnType<typeof heldOf> }) => ({ svid: state.held.svid, renewAt: 0 })

const held = heldOf('held', life(800))
const over = heldOf('over', life(0))
const successor = heldOf('successor', life(900))
const fresh = heldOf('fresh', life(1_000))
const away: Failures = { count: 2, retryAt: NOW + 60, code: 'icp.timeout' }
const denied: Failures = { count: 1, own: 1, retryAt: NOW + 60, code: 'icp.no_match' }
const sick: Failures = { count: 2, own: 2, retryAt: NOW + 60, code: 'icp.server_error' }
const expected = { by: 'other' } as const
const told = { by: 'other', told: true } as const
const retry = (failures: Failures, retryAt: number): Failures => ({ ...failures, retryAt })
const anew = ({ code }: Failures): Failures => ({ count: 0, retryAt: 0, code })

const STATES = {
  idle: undefined,
  wanted: { kind: 'wanted' },
  waiting: { kind: 'wanted', failures: away },
  expired: { kind: 'wanted', expired: true },
  refused: { kind: 'refused', code: 'icp.no_match', message: 'no', until: NOW + 60, failures: denied },
  issued: { kind: 'issued', held },
  failing: { kind: 'issued', held, failures: sick },
  ended: { kind: 'issued', held: over },
  endedRefused: { kind: 'issued', held: over, failures: denied },
  endedShadowed: { kind: 'issued', held: over, shadow: told },
  heldBack: { kind: 'issued', held, next: { held: successor, from: NOW + 100 } },
  heldBackDue: { kind: 'issued', held, next: { held: successor, from: NOW }, failures: away },
  losing: { kind: 'issued', held, shadow: expected },
  shadowed: { kind: 'shadowed', ...told },
} as const satisfies Record<string, EntryState | undefined>
type Name = keyof typeof STATES
const NAMES = Object.keys(STATES) as Name[]

const failed = (code: ErrorCode, outlived: boolean): EntryEvent => ({
  kind: 'failed',
  code,
  message: 'why',
  outlived,
  waiting: false,
  baseMs: 10,
  fraction: 1,
})
const f = (code: ErrorCode, count: number, own: number, waitMs: number): Failures => ({
  count,
  ...(own > 0 ? { own } : {}),
  retryAt: NOW + waitMs,
  code,
})
const refusedBy = (failures: Failures, message = 'why'): EntryState => ({
  kind: 'refused',
  code: failures.code,
  message,
  until: failures.retryAt,
  failures,
})
const S = STATES

/** Every event, with what becomes of every state; a state that is left out stays the same object. */
const TABLE: readonly [what: string, event: EntryEvent, after: Partial<Record<Name, EntryState | undefined>>][] = [
  [
    'an SVID of a known issuer arrives',
    { kind: 'issued', held: fresh, servableFrom: 0 },
    Object.fromEntries(NAMES.map((name) => [name, { kind: 'issued', held: fresh }])),
  ],
  [
    'an SVID of a new issuer arrives',
    { kind: 'issued', held: fresh, servableFrom: NOW + 100 },
    {
      ...Object.fromEntries(NAMES.map((name) => [name, { kind: 'issued', held: fresh }])),
      issued: { kind: 'issued', held, next: { held: fresh, from: NOW + 100 } },
      failing: { kind: 'issued', held, next: { held: fresh, from: NOW + 100 } },
      heldBack: { kind: 'issued', held, next: { held: fresh, from: NOW + 100 } },
      heldBackDue: { kind: 'issued', held, next: { held: fresh, from: NOW + 100 } },
      losing: { kind: 'issued', held, next: { held: fresh, from: NOW + 100 } },
    },
  ],
  [
    'the server refuses the entry',
    failed('icp.forbidden', false),
    {
      idle: refusedBy(f('icp.forbidden', 1, 1, 30_000)),
      wanted: refusedBy(f('icp.forbidden', 1, 1, 30_000)),
      waiting: refusedBy(f('icp.forbidden', 3, 1, 30_000)),
      expired: refusedBy(f('icp.forbidden', 1, 1, 30_000)),
      refused: refusedBy(f('icp.forbidden', 2, 2, 60_000)),
      issued: { ...S.issued, failures: f('icp.forbidden', 1, 1, 30_000) },
      failing: { ...S.failing, failures: f('icp.forbidden', 3, 3, 120_000) },
      ended: { ...S.ended, failures: f('icp.forbidden', 1, 1, 30_000) },
      endedRefused: { ...S.endedRefused, failures: f('icp.forbidden', 2, 2, 60_000) },
      endedShadowed: { ...S.endedShadowed, failures: f('icp.forbidden', 1, 1, 30_000) },
      heldBack: { ...S.heldBack, failures: f('icp.forbidden', 1, 1, 30_000) },
      heldBackDue: { ...S.heldBackDue, failures: f('icp.forbidden', 3, 1, 30_000) },
      losing: { ...S.losing, failures: f('icp.forbidden', 1, 1, 30_000) },
      shadowed: refusedBy(f('icp.forbidden', 1, 1, 30_000)),
    },
  ],
  [
    'the server does not answer',
    failed('icp.unreachable', true),
    {
      idle: { kind: 'wanted', failures: f('icp.unreachable', 1, 0, 10) },
      wanted: { kind: 'wanted', failures: f('icp.unreachable', 1, 0, 10) },
      waiting: { kind: 'wanted', failures: f('icp.unreachable', 3, 0, 40) },
      expired: { kind: 'wanted', expired: true, failures: f('icp.unreachable', 1, 0, 10) },
      refused: { ...S.refused, until: NOW + 30_000, failures: f('icp.unreachable', 2, 1, 30_000) },
      issued: { ...S.issued, failures: f('icp.unreachable', 1, 0, 10) },
      failing: { ...S.failing, failures: f('icp.unreachable', 3, 2, 40) },
      ended: { ...S.ended, failures: f('icp.unreachable', 1, 0, 10) },
      endedRefused: { ...S.endedRefused, failures: f('icp.unreachable', 2, 1, 20) },
      endedShadowed: { ...S.endedShadowed, failures: f('icp.unreachable', 1, 0, 10) },
      heldBack: { ...S.heldBack, failures: f('icp.unreachable', 1, 0, 10) },
      heldBackDue: { ...S.heldBackDue, failures: f('icp.unreachable', 3, 0, 40) },
      losing: { ...S.losing, failures: f('icp.unreachable', 1, 0, 10) },
      shadowed: { kind: 'wanted', failures: f('icp.unreachable', 1, 0, 10) },
    },
  ],
  [
    'it fails while others are issued',
    failed('icp.server_error', true),
    {
      idle: { kind: 'wanted', failures: f('icp.server_error', 1, 1, 30_000) },
      wanted: { kind: 'wanted', failures: f('icp.server_error', 1, 1, 30_000) },
      waiting: refusedBy(f('icp.server_error', 3, 1, 30_000)),
      expired: { kind: 'wanted', expired: true, failures: f('icp.server_error', 1, 1, 30_000) },
      refused: { ...S.refused, until: NOW + 60_000, failures: f('icp.server_error', 2, 2, 60_000) },
      issued: { ...S.issued, failures: f('icp.server_error', 1, 1, 10) },
      failing: { ...S.failing, failures: f('icp.server_error', 3, 3, 40) },
      ended: { ...S.ended, failures: f('icp.server_error', 1, 1, 10) },
      endedRefused: { ...S.endedRefused, failures: f('icp.server_error', 2, 2, 20) },
      endedShadowed: { ...S.endedShadowed, failures: f('icp.server_error', 1, 1, 10) },
      heldBack: { ...S.heldBack, failures: f('icp.server_error', 1, 1, 10) },
      heldBackDue: { ...S.heldBackDue, failures: f('icp.server_error', 3, 1, 40) },
      losing: { ...S.losing, failures: f('icp.server_error', 1, 1, 10) },
      shadowed: { kind: 'wanted', failures: f('icp.server_error', 1, 1, 30_000) },
    },
  ],
  [
    'it fails while nothing is issued',
    failed('icp.server_error', false),
    {
      idle: { kind: 'wanted', failures: f('icp.server_error', 1, 0, 10) },
      wanted: { kind: 'wanted', failures: f('icp.server_error', 1, 0, 10) },
      waiting: { kind: 'wanted', failures: f('icp.server_error', 3, 0, 40) },
      expired: { kind: 'wanted', expired: true, failures: f('icp.server_error', 1, 0, 10) },
      refused: { ...S.refused, until: NOW + 30_000, failures: f('icp.server_error', 2, 1, 30_000) },
      issued: { ...S.issued, failures: f('icp.server_error', 1, 0, 10) },
      failing: { ...S.failing, failures: f('icp.server_error', 3, 2, 40) },
      ended: { ...S.ended, failures: f('icp.server_error', 1, 0, 10) },
      endedRefused: { ...S.endedRefused, failures: f('icp.server_error', 2, 1, 20) },
      endedShadowed: { ...S.endedShadowed, failures: f('icp.server_error', 1, 0, 10) },
      heldBack: { ...S.heldBack, failures: f('icp.server_error', 1, 0, 10) },
      heldBackDue: { ...S.heldBackDue, failures: f('icp.server_error', 3, 0, 40) },
      losing: { ...S.losing, failures: f('icp.server_error', 1, 0, 10) },
      shadowed: { kind: 'wanted', failures: f('icp.server_error', 1, 0, 10) },
    },
  ],
  [
    'time passes',
    { kind: 'time-passed' },
    {
      ended: { kind: 'wanted', expired: true },
      endedRefused: refusedBy(denied, 'the ICP server refused to renew it (icp.no_match)'),
      endedShadowed: S.shadowed,
      heldBackDue: { kind: 'issued', held: successor },
    },
  ],
  [
    'the server answers again',
    { kind: 'server-answers' },
    {
      waiting: { ...S.waiting, failures: retry(away, 0) },
      heldBackDue: { ...S.heldBackDue, failures: retry(away, 0) },
    },
  ],
  [
    'the server issues again',
    { kind: 'server-issues' },
    {
      waiting: { ...S.waiting, failures: retry(away, 0) },
      failing: { ...S.failing, failures: retry(sick, 0) },
      heldBackDue: { ...S.heldBackDue, failures: retry(away, 0) },
    },
  ],
  [
    'what issuance depends on changes',
    { kind: 'conditions-changed' },
    {
      waiting: { ...S.waiting, failures: anew(away) },
      refused: { ...S.refused, until: 0, failures: anew(denied) },
      failing: { ...S.failing, failures: anew(sick) },
      endedRefused: { ...S.endedRefused, failures: anew(denied) },
      heldBackDue: { ...S.heldBackDue, failures: anew(away) },
    },
  ],
  [
    'the wall clock is set back',
    { kind: 'clock-set-back', byMs: 50 },
    {
      waiting: { ...S.waiting, failures: retry(away, NOW + 10) },
      refused: { ...S.refused, until: NOW + 10, failures: retry(denied, NOW + 10) },
      failing: { ...S.failing, failures: retry(sick, NOW + 10) },
      endedRefused: { ...S.endedRefused, failures: retry(denied, NOW + 10) },
      heldBack: { ...S.heldBack, next: { held: successor, from: NOW + 50 } },
      heldBackDue: { ...S.heldBackDue, next: { held: successor, from: NOW - 50 }, failures: retry(away, NOW + 10) },
    },
  ],
  [
    'its renewal is brought forward',
    { kind: 'renewal-advanced', renewAt: NOW },
    {
      issued: { ...S.issued, held: { ...held, renewAt: NOW } },
      failing: { ...S.failing, held: { ...held, renewAt: NOW } },
      losing: { ...S.losing, held: { ...held, renewAt: NOW } },
      heldBack: { ...S.heldBack, next: { held: { ...successor, renewAt: NOW }, from: NOW + 100 } },
      heldBackDue: { ...S.heldBackDue, next: { held: { ...successor, renewAt: NOW }, from: NOW } },
    },
  ],
  [
    'other selectors',
    { kind: 'entry-changed', newTtl: false },
    {
      wanted: undefined,
      waiting: undefined,
      expired: undefined,
      refused: undefined,
      shadowed: undefined,
      failing: { kind: 'issued', held },
      endedRefused: { kind: 'issued', held: over },
      endedShadowed: { kind: 'issued', held: over },
      heldBackDue: { kind: 'issued', held, next: S.heldBackDue.next },
      losing: { kind: 'issued', held },
    },
  ],
  [
    'another lifetime',
    { kind: 'entry-changed', newTtl: true },
    {
      wanted: undefined,
      waiting: undefined,
      expired: undefined,
      refused: undefined,
      shadowed: undefined,
      issued: { kind: 'issued', held: now(S.issued) },
      failing: { kind: 'issued', held: now(S.issued) },
      ended: { kind: 'issued', held: now(S.ended) },
      endedRefused: { kind: 'issued', held: now(S.ended) },
      endedShadowed: { kind: 'issued', held: now(S.ended) },
      heldBack: { kind: 'issued', held: now(S.issued), next: { held: now(S.heldBack.next), from: NOW + 100 } },
      heldBackDue: { kind: 'issued', held: now(S.issued), next: { held: now(S.heldBack.next), from: NOW } },
      losing: { kind: 'issued', held: now(S.issued) },
    },
  ],
  [
    'another entry is issued in its place',
    { kind: 'shadowed', shadow: told },
    Object.fromEntries(
      NAMES.map((name) => {
        const state: EntryState | undefined = STATES[name]
        return [name, state?.kind === 'issued' ? { ...state, shadow: told } : { kind: 'shadowed', ...told }]
      }),
    ),
  ],
  [
    'no other entry is issued in its place any more',
    { kind: 'unshadowed' },
    { endedShadowed: { kind: 'issued', held: over }, losing: { kind: 'issued', held }, shadowed: undefined },
  ],
  [
    'the server issues it where another one was expected',
    { kind: 'preferred' },
    {
      endedShadowed: { kind: 'issued', held: over },
      losing: { kind: 'issued', held },
      shadowed: { kind: 'wanted' },
    },
  ],
  [
    'the clock that ended its SVID was wrong',
    { kind: 'valid-again', held: fresh },
    {
      idle: { kind: 'issued', held: fresh },
      wanted: { kind: 'issued', held: fresh },
      waiting: { kind: 'issued', held: fresh },
      expired: { kind: 'issued', held: fresh },
      refused: { kind: 'issued', held: fresh },
      shadowed: { kind: 'issued', held: fresh, shadow: told },
    },
  ],
]

describe.each(TABLE)('when %s', (_, event, after) => {
  test.each(NAMES)('an entry that is %s', (name) => {
    const before: EntryState | undefined = STATES[name]
    const result = transition(before, event, NOW)
    if (name in after) expect(result).toStrictEqual(after[name])
    else expect(result).toBe(before)
  })
})

test('the table has every event, and no state is changed in place', () => {
  const kinds: Record<EntryEvent['kind'], true> = {
    issued: true,
    failed: true,
    'time-passed': true,
    'server-answers': true,
    'server-issues': true,
    'conditions-changed': true,
    'clock-set-back': true,
    'renewal-advanced': true,
    'entry-changed': true,
    shadowed: true,
    unshadowed: true,
    preferred: true,
    'valid-again': true,
  }
  expect(new Set(TABLE.map(([, { kind }]) => kind))).toEqual(new Set(Object.keys(kinds)))
  expect(S.heldBackDue).toStrictEqual({
    kind: 'issued',
    held,
    next: { held: successor, from: NOW },
    failures: { count: 2, retryAt: NOW + 60, code: 'icp.timeout' },
  })
})

test('what failed because of the other entry is forgotten with it, and nothing else is', () => {
  const state = (failures: Failures): EntryState => ({ ...S.losing, failures })
  const shadowed: Failures = { count: 1, own: 1, retryAt: NOW + 60, code: 'entry.shadowed' }
  expect(transition(state(shadowed), { kind: 'unshadowed' })).toStrictEqual({ kind: 'issued', held })
  expect(transition(state(sick), { kind: 'unshadowed' })).toStrictEqual({ kind: 'issued', held, failures: sick })
})

test('a failure is the entry’s, the agent’s, nobody’s answer, or unclear: each code is in one class', () => {
  const codes = Object.keys(ERROR_CODES) as ErrorCode[]
  const of = (wanted: string) => codes.filter((code) => failureClass(code) === wanted).sort()
  expect(of('entry')).toEqual(
    ['entry.shadowed', 'entry.trust_domain', 'icp.bad_request', 'icp.conflict', 'icp.forbidden', 'icp.no_match'].sort(),
  )
  expect(of('agent')).toEqual(['icp.agent_inactive', 'icp.unauthorized'])
  expect(of('no-answer')).toEqual(['agent.no_identity', 'icp.timeout', 'icp.tls', 'icp.unreachable'])
})

describe('at the very moment', () => {
  test('from which others know its issuer, an SVID is served', () => {
    expect(transition(S.issued, { kind: 'issued', held: fresh, servableFrom: NOW }, NOW)).toStrictEqual({
      kind: 'issued',
      held: fresh,
    })
  })

  test('at which both end, neither is served', () => {
    const next = { held: over, from: NOW - 1 }
    expect(transition({ ...S.ended, next }, { kind: 'time-passed' }, NOW)).toStrictEqual(S.expired)
  })

  test('at which it is renewed anyway, nothing is brought forward', () => {
    expect(transition(S.issued, { kind: 'renewal-advanced', renewAt: held.renewAt }, NOW)).toBe(S.issued)
  })
})

describe('whatever happens to an entry, in whatever order', () => {
  const event = fc.oneof(
    fc.constantFrom(...TABLE.map(([, one]) => one)),
    fc
      .record({ code: fc.constantFrom(...(Object.keys(ERROR_CODES) as ErrorCode[])), outlived: fc.boolean() })
      .map(({ code, outlived }) => failed(code, outlived)),
  )
  const history = fc.array(fc.record({ event, at: fc.integer({ min: NOW, max: NOW + 2_000 }) }), { maxLength: 30 })
  const start = fc.constantFrom(...NAMES.map((name): EntryState | undefined => STATES[name]))

  test('once time has passed at a moment, no SVID is served that has ended by then', () => {
    fc.assert(
      fc.property(start, history, fc.integer({ min: NOW, max: NOW + 3_000 }), (first, events, at) => {
        const last = events.reduce((state, { event, at }) => transition(state, event, at), first)
        const state = transition(last, { kind: 'time-passed' }, at)
        if (state?.kind === 'issued') expect(state.held.svid.notAfter).toBeGreaterThan(at)
        expect(changesAt(state)).toBeGreaterThan(at)
      }),
    )
  })

  test('what is refused says when it is tried again, once', () => {
    fc.assert(
      fc.property(start, history, (first, events) => {
        let state = first
        for (const { event, at } of events) {
          state = transition(state, event, at)
          if (state?.kind === 'refused') expect(state.until).toBe(state.failures.retryAt)
        }
      }),
    )
  })

  test('only an SVID that arrives, or a clock that is set right, makes an entry issued', () => {
    fc.assert(
      fc.property(start, history, (first, events) => {
        let state = first
        for (const { event, at } of events) {
          const next = transition(state, event, at)
          const gains = state?.kind !== 'issued' && next?.kind === 'issued'
          if (gains) expect(['issued', 'valid-again']).toContain(event.kind)
          state = next
        }
      }),
    )
  })
})

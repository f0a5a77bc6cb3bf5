import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { type DecisionInput, decide, decideBundles } from '../../../agent/workload-api/decision.js'
import { issuedOf } from '../../fakes/identities.js'

const NOW = 1_000_000
const HOLD = 4_000
const IDS = ['a', 'b', 'c', 'd', 'e']

const failures = fc.record({
  count: fc.integer({ min: 1, max: 4 }),
  retryAt: fc.integer({ min: NOW - 10_000, max: NOW + 10_000 }),
  code: fc.constant('icp.timeout' as const),
})
const state: fc.Arbitrary<EntryState | undefined> = fc.oneof(
  fc.constant(undefined),
  fc.record({ kind: fc.constant('wanted' as const), failures }),
  fc.constant<EntryState>({ kind: 'wanted', expired: true }),
  fc.constant<EntryState>({ kind: 'shadowed', by: 'z' }),
  failures.map(
    (all): EntryState => ({ kind: 'refused', code: 'icp.no_match', message: '', until: all.retryAt, failures: all }),
  ),
  fc.integer({ min: -2, max: 5 }).map((left): EntryState => issuedOf('x', { notBefore: 0, notAfter: NOW + left })),
)
const states = fc.array(state, { minLength: IDS.length, maxLength: IDS.length })
const matched = fc.subarray(IDS)

const circumstances = fc.record({
  matched,
  states,
  uncertain: fc.boolean(),
  heldForMs: fc.integer({ min: 0, max: 2 * HOLD }),
  served: fc.option(matched, { nil: null }),
  attesting: fc.boolean(),
  synced: fc.boolean(),
  stopping: fc.boolean(),
})

function inputOf(given: typeof circumstances extends fc.Arbitrary<infer T> ? T : never): DecisionInput {
  return {
    refusal: null,
    attesting: given.attesting,
    waitMs: 0,
    match: { ids: given.matched, truncated: false, uncertain: given.uncertain },
    snapshot: { synced: given.synced, states: statesOf(given.states) },
    now: NOW,
    heldForMs: given.heldForMs,
    holdMs: HOLD,
    served: given.served,
    stopping: given.stopping,
  }
}

function statesOf(all: readonly (EntryState | undefined)[]): ReadonlyMap<string, EntryState> {
  return new Map(all.flatMap((one, i) => (one ? [[IDS[i] ?? '', one] as const] : [])))
}

const isHopeless = (one: EntryState | undefined) => one?.kind === 'refused' || one?.kind === 'shadowed'
const isValid = (one: EntryState | undefined) => one?.kind === 'issued' && NOW < one.held.svid.notAfter

describe('a decision', () => {
  it('sends only matched entries with living SVIDs, in the order of the match, and never nothing', () => {
    fc.assert(
      fc.property(circumstances, (given) => {
        const c = inputOf(given)
        const found = decide(c)
        if (found.kind !== 'send') return
        expect(found.ids.length).toBeGreaterThan(0)
        expect(given.matched.filter((id) => found.ids.includes(id))).toEqual(found.ids)
        for (const id of found.ids) {
          const one = c.snapshot.states.get(id)
          expect(isValid(one)).toBe(true)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('begins a stream with the oldest identity that can be issued, or waits', () => {
    fc.assert(
      fc.property(circumstances, (given) => {
        const c = inputOf({ ...given, served: null })
        const found = decide(c)
        if (found.kind !== 'send') return
        expect(found.ids[0]).toBe(given.matched.find((id) => !isHopeless(c.snapshot.states.get(id))))
      }),
      { numRuns: 2000 },
    )
  })

  it('waits no longer than the hold, and not at all when it is over', () => {
    fc.assert(
      fc.property(circumstances, fc.boolean(), (given, openToAll) => {
        const c = inputOf(given)
        for (const found of [decide(c), decideBundles({ ...c, openToAll, available: given.uncertain })]) {
          if (found.kind !== 'hold') continue
          expect(found.forMs).toBe(HOLD - given.heldForMs)
          expect(found.forMs).toBeGreaterThan(0)
        }
      }),
      { numRuns: 2000 },
    )
  })

  it('sends to whom it would send with fewer entries missing', () => {
    fc.assert(
      fc.property(circumstances, (given) => {
        const c = inputOf(given)
        if (decide(c).kind !== 'send') return
        const more = given.states.map((one) => (one === undefined ? issuedOf('x', { notAfter: NOW + 9 }) : one))
        expect(decide({ ...c, snapshot: { ...c.snapshot, states: statesOf(more) } }).kind).toBe('send')
      }),
      { numRuns: 1000 },
    )
  })
})

describe('a live stream', () => {
  it('changes its default identity to a younger one only when the old one is withdrawn or can never be issued', () => {
    const steps = fc.array(fc.record({ matched, states }), { minLength: 2, maxLength: 8 })
    fc.assert(
      fc.property(steps, (all) => {
        let served: readonly string[] | null = null
        for (const { matched: ids, states: now } of all) {
          const snapshot = { synced: true, states: statesOf(now) }
          const found = decide({
            refusal: null,
            attesting: false,
            waitMs: 0,
            match: { ids, truncated: false, uncertain: false },
            snapshot,
            now: NOW,
            heldForMs: HOLD,
            holdMs: HOLD,
            served,
            stopping: false,
          })
          if (found.kind !== 'send') continue
          const before = served?.[0]
          const after = found.ids[0] ?? ''
          if (before !== undefined && before < after) {
            expect(!ids.includes(before) || isHopeless(snapshot.states.get(before))).toBe(true)
          }
          served = found.ids
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('keeps serving what lives and is matched while anything is added to it', () => {
    fc.assert(
      fc.property(matched, states, matched, (served, now, added) => {
        const living = served.filter((id) => isValid(statesOf(now).get(id)))
        fc.pre(living.length > 0 && living[0] === served[0])
        const ids = IDS.filter((id) => living.includes(id) || added.includes(id))
        const found = decide({
          refusal: null,
          attesting: false,
          waitMs: 0,
          match: { ids, truncated: false, uncertain: false },
          snapshot: { synced: true, states: statesOf(now) },
          now: NOW,
          heldForMs: 0,
          holdMs: HOLD,
          served,
          stopping: false,
        })
        expect(found.kind).toBe('send')
        if (found.kind === 'send') expect(found.ids).toEqual(expect.arrayContaining(living))
      }),
      { numRuns: 2000 },
    )
  })
})

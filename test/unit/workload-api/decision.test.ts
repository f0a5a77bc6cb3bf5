import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import type { EntryState, Failures } from '../../../agent/svids/entry-state.js'
import { type Decision, type DecisionInput, decide, decideBundles } from '../../../agent/workload-api/decision.js'
import { statusOf } from '../../../agent/workload-api/status.js'
import { issuedOf } from '../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const HOLD = 4_000
const { UNAVAILABLE, PERMISSION_DENIED, INVALID_ARGUMENT } = status

const valid = issuedOf('x', { notBefore: NOW - 10, notAfter: NOW + 60_000 })
const longer = issuedOf('x', { notBefore: NOW - 10, notAfter: NOW + 90_000 })
const over = issuedOf('x', { notBefore: NOW - 10, notAfter: NOW })
const failing = (retryAt: number): Failures => ({ count: 1, retryAt, code: 'icp.server_error' })
const wanted: EntryState = { kind: 'wanted' }
const soon: EntryState = { kind: 'wanted', failures: failing(NOW + 1_000) }
const late: EntryState = { kind: 'wanted', failures: failing(NOW + 60_000) }
const expired: EntryState = { kind: 'wanted', expired: true, failures: failing(NOW + 60_000) }
const shadowed: EntryState = { kind: 'shadowed', by: 'z' }
const refused: EntryState = {
  kind: 'refused',
  code: 'icp.no_match',
  message: 'no entry for {"unix:uid":"1000"}',
  until: NOW + 60_000,
  failures: failing(NOW + 60_000),
}
const broken: EntryState = { ...refused, code: 'icp.server_error' }

/** What is not said: an attested caller, on a new call, before a synced agent. */
interface Given extends Partial<Omit<DecisionInput, 'match' | 'snapshot' | 'now'>> {
  readonly matched?: readonly string[]
  readonly uncertain?: boolean
  readonly states?: Readonly<Record<string, EntryState>>
  readonly synced?: boolean
}

function inputOf(given: Given): DecisionInput {
  const { matched = ['a'], uncertain = false, states = {}, synced = true, ...more } = given
  return {
    refusal: null,
    attesting: false,
    waitMs: 0,
    match: { ids: matched, truncated: false, uncertain },
    snapshot: { synced, states: new Map(Object.entries(states)) },
    now: NOW,
    heldForMs: 0,
    holdMs: HOLD,
    served: null,
    stopping: false,
    ...more,
  }
}

/** `send a,b`, `hold CODE for 4000`, `refuse CODE STATUS`. */
function said(found: Decision): string {
  if (found.kind === 'send') return `send ${found.ids.join()}`
  if (found.kind === 'hold') return `hold ${found.reason.code} for ${found.forMs}`
  return `refuse ${found.code} ${status[statusOf(found.code)]}`
}

const refusedWith = (code: string, as: status) => `refuse ${code} ${status[as]}`
const gone = (code: 'caller.exited' | 'caller.executable_changed' | 'caller.ids_changed') => ({ code, message: 'gone' })

describe('every answer to FetchX509SVID', () => {
  it.each<[string, Given, string]>([
    // The agent and the caller, before anything is matched.
    ['the agent is stopping', { stopping: true, states: { a: valid } }, refusedWith('agent.stopping', UNAVAILABLE)],
    [
      'the agent is stopping, and the caller is gone too',
      { stopping: true, refusal: gone('caller.exited') },
      refusedWith('agent.stopping', UNAVAILABLE),
    ],
    [
      'the caller has ended',
      { refusal: gone('caller.exited'), states: { a: valid } },
      refusedWith('caller.exited', PERMISSION_DENIED),
    ],
    [
      'the caller runs another program, on a live stream',
      { refusal: gone('caller.executable_changed'), states: { a: valid }, served: ['a'] },
      refusedWith('caller.executable_changed', PERMISSION_DENIED),
    ],
    [
      'the ids of the caller changed',
      { refusal: gone('caller.ids_changed'), states: { a: valid } },
      refusedWith('caller.ids_changed', PERMISSION_DENIED),
    ],
    [
      'pid 0',
      { refusal: { code: 'caller.foreign_pid_namespace', message: '' } },
      refusedWith('caller.foreign_pid_namespace', PERMISSION_DENIED),
    ],
    [
      'the kernel could not be asked about the caller: it is looked at again soon',
      { refusal: { code: 'caller.unidentified', message: '' }, states: { a: valid } },
      'hold caller.unidentified for 500',
    ],
    [
      'the kernel could not be asked, on a live stream: it is not broken off for that',
      { refusal: { code: 'caller.unidentified', message: '' }, states: { a: valid }, served: ['a'], heldForMs: 3_900 },
      'hold caller.unidentified for 100',
    ],
    [
      'the kernel cannot be asked for as long as a call is held',
      { refusal: { code: 'caller.unidentified', message: '' }, states: { a: valid }, served: ['a'], heldForMs: HOLD },
      refusedWith('caller.unidentified', UNAVAILABLE),
    ],
    ['attestation is under way', { attesting: true, matched: [] }, 'hold attestation.timeout for 4000'],
    [
      'attestation takes too long',
      { attesting: true, matched: [], heldForMs: HOLD },
      refusedWith('attestation.timeout', UNAVAILABLE),
    ],
    [
      'attestation failed: it is tried again in a moment',
      { refusal: { code: 'attestation.failed', message: '' }, matched: [] },
      'hold attestation.failed for 4000',
    ],
    [
      'attestation failed for as long as a call is held',
      { refusal: { code: 'attestation.failed', message: '' }, matched: [], heldForMs: HOLD },
      refusedWith('attestation.failed', UNAVAILABLE),
    ],
    [
      'attestation failed on a live stream: it is not broken off for that',
      { refusal: { code: 'attestation.timeout', message: '' }, matched: [], served: ['a'] },
      'hold attestation.timeout for 4000',
    ],
    [
      'a defect of the agent in attestation',
      { refusal: { code: 'internal', message: '' } },
      refusedWith('internal', UNAVAILABLE),
    ],
    ['no entries are known yet', { synced: false, matched: [] }, 'hold agent.starting for 4000'],
    [
      'no entries are known for too long',
      { synced: false, heldForMs: HOLD + 1 },
      refusedWith('agent.starting', UNAVAILABLE),
    ],

    // The match.
    ['no entry matches', { matched: [] }, refusedWith('entry.none', PERMISSION_DENIED)],
    ['no entry matches, after a hold', { matched: [], heldForMs: HOLD }, refusedWith('entry.none', PERMISSION_DENIED)],
    [
      'all entries were withdrawn from a live stream (ST-08)',
      { matched: [], served: ['a'] },
      refusedWith('entry.none', PERMISSION_DENIED),
    ],
    [
      'no entry matches, but one might if a platform answered',
      { matched: [], uncertain: true },
      'hold attestation.platform_missing for 4000',
    ],
    [
      'the platform does not answer for too long',
      { matched: [], uncertain: true, heldForMs: HOLD },
      refusedWith('attestation.platform_missing', UNAVAILABLE),
    ],
    [
      'a platform that knows the caller is about to show it, within its own time',
      { matched: [], uncertain: true, waitMs: 30_000, heldForMs: HOLD },
      'hold attestation.platform_missing for 26000',
    ],
    [
      'a platform that knows the caller did not show it in time',
      { matched: [], uncertain: true, waitMs: 30_000, heldForMs: 30_000 },
      'refuse attestation.platform_missing UNAVAILABLE',
    ],
    ['an entry matches without the unavailable platform', { uncertain: true, states: { a: valid } }, 'send a'],

    // First messages.
    ['the one SVID is there', { states: { a: valid } }, 'send a'],
    ['all SVIDs are there', { matched: ['a', 'b'], states: { a: valid, b: longer } }, 'send a,b'],
    ['nobody has asked for it before', {}, 'hold svid.pending for 4000'],
    ['it is being issued', { states: { a: wanted } }, 'hold svid.pending for 4000'],
    ['it is being issued, and part of the hold is over', { heldForMs: 1_500 }, 'hold svid.pending for 2500'],
    ['it was not issued within the hold', { heldForMs: HOLD }, refusedWith('svid.pending', UNAVAILABLE)],
    ['it could not be issued yet', { states: { a: late } }, 'hold svid.pending for 4000'],
    [
      'it could not be issued within the hold',
      { states: { a: late }, heldForMs: HOLD },
      refusedWith('svid.pending', UNAVAILABLE),
    ],
    ['there is no hold', { holdMs: 0 }, refusedWith('svid.pending', UNAVAILABLE)],
    ['it has expired', { states: { a: expired } }, 'hold svid.expired for 4000'],
    ['it expired this moment, which nobody has noted yet', { states: { a: over } }, 'hold svid.expired for 4000'],
    ['it stays expired', { states: { a: over }, heldForMs: HOLD }, refusedWith('svid.expired', UNAVAILABLE)],
    [
      'a younger one is missing: the first message waits for it',
      { matched: ['a', 'b'], states: { a: valid } },
      'hold svid.pending for 4000',
    ],
    [
      'a younger one is tried again within the hold',
      { matched: ['a', 'b'], states: { a: valid, b: soon } },
      'hold svid.pending for 4000',
    ],
    [
      'a younger one is not tried again within the hold: it is not waited for',
      { matched: ['a', 'b'], states: { a: valid, b: late } },
      'send a',
    ],
    [
      'a younger one is not tried again in what is left of the hold: it is not waited for',
      { matched: ['a', 'b'], states: { a: valid, b: soon }, heldForMs: HOLD - 500 },
      'send a',
    ],
    [
      'a younger one is missing after the hold: a partial set',
      { matched: ['a', 'b', 'c'], states: { a: valid, c: valid }, heldForMs: HOLD },
      'send a,c',
    ],
    [
      'the default identity is missing: never a younger one in its place',
      { matched: ['a', 'b'], states: { b: valid } },
      'hold svid.pending for 4000',
    ],
    [
      'the default identity is missing after the hold',
      { matched: ['a', 'b'], states: { b: valid }, heldForMs: HOLD },
      refusedWith('svid.pending', UNAVAILABLE),
    ],
    [
      'the default identity has expired',
      { matched: ['a', 'b'], states: { a: expired, b: valid }, heldForMs: HOLD },
      refusedWith('svid.expired', UNAVAILABLE),
    ],
    [
      'a younger one has expired: a partial set',
      { matched: ['a', 'b'], states: { a: valid, b: over }, heldForMs: HOLD },
      'send a',
    ],

    // Entries that are never issued hold nobody back.
    [
      'the oldest is refused: the next one is the default, at once',
      { matched: ['a', 'b'], states: { a: refused, b: valid } },
      'send b',
    ],
    [
      'the oldest is shadowed: the next one is the default, at once',
      { matched: ['a', 'b'], states: { a: shadowed, b: valid } },
      'send b',
    ],
    ['a younger one is refused', { matched: ['a', 'b'], states: { a: valid, b: refused } }, 'send a'],
    [
      'the oldest is refused, the next one pending',
      { matched: ['a', 'b', 'c'], states: { a: refused, c: valid } },
      'hold svid.pending for 4000',
    ],
    ['all are refused', { states: { a: refused } }, refusedWith('icp.no_match', PERMISSION_DENIED)],
    [
      'all are refused, for reasons that may pass',
      { states: { a: broken } },
      refusedWith('icp.server_error', UNAVAILABLE),
    ],
    ['all are shadowed', { states: { a: shadowed } }, refusedWith('entry.shadowed', PERMISSION_DENIED)],
    [
      'some are shadowed, the others refused: the refusal tells more',
      { matched: ['a', 'b'], states: { a: shadowed, b: refused } },
      refusedWith('icp.no_match', PERMISSION_DENIED),
    ],

    // Live streams.
    ['nothing new', { states: { a: valid }, served: ['a'] }, 'send a'],
    [
      'a new entry is pending: what is served goes on',
      { matched: ['a', 'b'], states: { a: valid }, served: ['a'] },
      'send a',
    ],
    ['a new entry was issued', { matched: ['a', 'b'], states: { a: valid, b: longer }, served: ['a'] }, 'send a,b'],
    [
      'one of two entries was withdrawn (SM-07)',
      { matched: ['b'], states: { b: valid }, served: ['a', 'b'] },
      'send b',
    ],
    [
      'an entry that is older than all that is served is pending: the default stays',
      { matched: ['a', 'b', 'c'], states: { b: valid, c: valid }, served: ['b', 'c'] },
      'send b,c',
    ],
    [
      'and one between it and the default was issued: it does not become the default',
      { matched: ['a', 'b', 'c'], states: { b: valid, c: valid }, served: ['c'] },
      'send c',
    ],
    [
      'the default has expired: the next one does not take its place',
      { matched: ['a', 'b'], states: { a: over, b: valid }, served: ['a', 'b'] },
      'hold svid.expired for 4000',
    ],
    [
      'the default has expired and is not renewed in time',
      { matched: ['a', 'b'], states: { a: expired, b: valid }, served: ['a', 'b'], heldForMs: HOLD },
      refusedWith('svid.expired', UNAVAILABLE),
    ],
    [
      'a younger one has expired: it leaves, the default stays',
      { matched: ['a', 'b'], states: { a: valid, b: over }, served: ['a', 'b'] },
      'send a',
    ],
    ['the only SVID has expired', { states: { a: over }, served: ['a'] }, 'hold svid.expired for 4000'],
    [
      'the default came to be refused after its SVID had ended',
      { matched: ['a', 'b'], states: { a: refused, b: valid }, served: ['a', 'b'] },
      'send b',
    ],
    [
      'the default was withdrawn, and its successor is pending',
      { matched: ['b', 'c'], states: { c: valid }, served: ['a', 'c'] },
      'hold svid.pending for 4000',
    ],
  ])('%s', (_what, given, expected) => {
    expect(said(decide(inputOf(given)))).toBe(expected)
  })

  it('never hands on what the server said: it may name selectors', () => {
    const found = decide(inputOf({ states: { a: refused } }))
    expect(found).toMatchObject({ kind: 'refuse', code: 'icp.no_match' })
    expect(JSON.stringify(found)).not.toContain('unix:uid')
  })

  it.each<[string, Given]>([
    ['matches no entry', { matched: [] }],
    ['is refused by the server', { states: { a: refused } }],
    ['matches an entry that never wins', { states: { a: shadowed } }],
  ])('says in the words that clients know that a caller who %s has no identity', (_who, given) => {
    // SPIRE's own words: the Rust crate `spiffe` looks for them, and waits instead of failing.
    expect(decide(inputOf(given))).toMatchObject({ message: expect.stringMatching(/^no identity issued: /) })
  })

  it('is never InvalidArgument: that would end watches of go-spiffe for good', () => {
    for (const state of [undefined, wanted, late, expired, shadowed, refused, broken, over, valid]) {
      const found = decide(inputOf({ states: state ? { a: state } : {}, heldForMs: HOLD }))
      if (found.kind === 'refuse') expect(statusOf(found.code)).not.toBe(INVALID_ARGUMENT)
    }
  })
})

describe('every answer to FetchX509Bundles', () => {
  const open = { available: true, openToAll: false }
  it.each<[string, Given, { available?: boolean; openToAll?: boolean }, string]>([
    ['who has an identity, issued or not', {}, {}, 'send '],
    ['who has an identity that is refused', { states: { a: refused } }, {}, 'send '],
    ['on a live stream', { served: [] }, {}, 'send '],
    ['who has none', { matched: [] }, {}, refusedWith('entry.none', PERMISSION_DENIED)],
    ['who has none, where verifiers need none', { matched: [] }, { openToAll: true }, 'send '],
    ['who may have one', { matched: [], uncertain: true }, {}, 'hold attestation.platform_missing for 4000'],
    ['who may have one, where verifiers need none', { matched: [], uncertain: true }, { openToAll: true }, 'send '],
    ['there are no bundles yet', {}, { available: false }, 'hold agent.starting for 4000'],
    [
      'there are no bundles for too long',
      { heldForMs: HOLD },
      { available: false },
      refusedWith('agent.starting', UNAVAILABLE),
    ],
    [
      'there are no bundles yet, where verifiers need no identity',
      { matched: [] },
      { available: false, openToAll: true },
      'hold agent.starting for 4000',
    ],
    [
      'the caller is gone, where verifiers need no identity',
      { refusal: gone('caller.exited') },
      { openToAll: true },
      refusedWith('caller.exited', PERMISSION_DENIED),
    ],
    [
      'attestation is under way, where verifiers need no identity',
      { attesting: true },
      { openToAll: true },
      'hold attestation.timeout for 4000',
    ],
    ['the agent knows no entries yet', { synced: false }, { openToAll: true }, 'hold agent.starting for 4000'],
    ['the agent is stopping', { stopping: true }, { openToAll: true }, refusedWith('agent.stopping', UNAVAILABLE)],
  ])('%s', (_what, given, more, expected) => {
    expect(said(decideBundles({ ...inputOf(given), ...open, ...more }))).toBe(expected)
  })
})

describe('while nothing new is granted, because it could not be recorded,', () => {
  const heldGrants = { code: 'audit.unavailable', message: 'cannot be written' } as const
  const states = { a: valid, b: valid }
  it.each<[string, Given, string]>([
    ['a new call is held', { states, heldGrants }, 'hold audit.unavailable for 4000'],
    ['and then refused, for now', { states, heldGrants, heldForMs: HOLD }, 'refuse audit.unavailable UNAVAILABLE'],
    ['an open stream goes on', { states, heldGrants, served: ['a'] }, 'send a'],
    ['with what it has, and no other', { states, heldGrants, matched: ['a', 'b'], served: ['a'] }, 'send a'],
    ['also where another would be its first', { states, heldGrants, matched: ['b', 'a'], served: ['a'] }, 'send a'],
    [
      'a stream all of whose identities are others now waits',
      { states, heldGrants, matched: ['b'], served: ['a'] },
      'hold audit.unavailable for 4000',
    ],
    ['what is refused anyhow is refused as ever', { matched: [], heldGrants }, 'refuse entry.none PERMISSION_DENIED'],
    ['what is pending is pending', { states: { a: wanted }, heldGrants }, 'hold svid.pending for 4000'],
  ])('%s', (_, given, outcome) => {
    expect(said(decide(inputOf(given)))).toBe(outcome)
  })

  it('bundles are sent', () => {
    const input = { ...inputOf({ states, heldGrants }), available: true, openToAll: false }
    expect(said(decideBundles(input))).toBe('send ')
  })
})

import { changesAt, type EntryEvent, type EntryState, newestOf, transition } from './entry-state.js'

/** Entries by id, with their states. */
export type States = ReadonlyMap<string, EntryState>
/** States that are different now, by entry. */
export type Changes = ReadonlyMap<string, EntryState>

/** What the event makes of every state that it changes; idle entries are not concerned. */
export function changesBy(
  states: States,
  event: Extract<
    EntryEvent,
    { kind: 'server-answers' | 'server-issues' | 'conditions-changed' | 'clock-set-back' | 'time-passed' }
  >,
  now: number,
): Changes {
  const changes = new Map<string, EntryState>()
  for (const [id, state] of states) {
    const next = transition(state, event, now)
    if (next && next !== state) changes.set(id, next)
  }
  return changes
}

/** What the passing of time alone does to the states. */
export interface Tick {
  readonly changed: Changes
  /** The wall-clock moment of the next such change; infinite when there is none. */
  readonly nextAt: number
}

export function tick(states: States, now: number): Tick {
  const changed = changesBy(states, { kind: 'time-passed' }, now)
  let nextAt = Number.POSITIVE_INFINITY
  for (const [id, state] of states) nextAt = Math.min(nextAt, changesAt(changed.get(id) ?? state))
  return { changed, nextAt }
}

/** Renewals that an authority's end brings forward are so many a minute: half of what the server allows one address. */
const PER_MINUTE = 15

/**
 * A new authority issues: SVIDs of the others are renewed early, in the order of their expiry, spread so that the
 * server's limit holds; never later than they would be anyway. So an old CA may go as soon as one round is over.
 */
export function renewEarly(states: States, newestAuthority: string, now: number): Changes {
  const old = [...states].flatMap(([id, state]) =>
    state.kind === 'issued' && newestOf(state).svid.authority !== newestAuthority ? [{ id, state }] : [],
  )
  old.sort((a, b) => a.state.held.svid.notAfter - b.state.held.svid.notAfter)
  const changes = new Map<string, EntryState>()
  for (const [n, { id, state }] of old.entries()) {
    const next = transition(state, { kind: 'renewal-advanced', renewAt: now + (n * 60_000) / PER_MINUTE }, now)
    if (next && next !== state) changes.set(id, next)
  }
  return changes
}

/** Fingerprints of the authorities that issued what is served, or is about to be. */
export function issuersInUse(states: States): ReadonlySet<string> {
  const issuers = new Set<string>()
  for (const state of states.values()) {
    if (state.kind !== 'issued') continue
    issuers.add(state.held.svid.authority)
    if (state.next) issuers.add(state.next.held.svid.authority)
  }
  return issuers
}

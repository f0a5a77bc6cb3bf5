import { changesAt, type EntryEvent, type EntryState, newestOf, transition } from './entry-state.js'

/** Entries by id, with their states. */
export type States = ReadonlyMap<string, EntryState>
/** Changed states by entry. */
export type Changes = ReadonlyMap<string, EntryState>

/** Applies the event to all states and returns those that change; idle entries stay idle. */
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

/** The effect of time on the states. */
export interface Tick {
  readonly changed: Changes
  /** When the next such change is, by the wall clock; infinite: never. */
  readonly nextAt: number
}

export function tick(states: States, now: number): Tick {
  const changed = changesBy(states, { kind: 'time-passed' }, now)
  let nextAt = Number.POSITIVE_INFINITY
  for (const [id, state] of states) nextAt = Math.min(nextAt, changesAt(changed.get(id) ?? state))
  return { changed, nextAt }
}

/** Pace of early renewals after a change of authority: half of what the server allows one address. */
const PER_MINUTE = 15

/**
 * A new authority issues: renews SVIDs of other authorities early, in the order of their expiry, spread so that the
 * server's limit holds, and never later than they were due. So an old CA may be removed after one round.
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

/** Fingerprints of the issuers of served and held-back SVIDs. */
export function issuersInUse(states: States): ReadonlySet<string> {
  const issuers = new Set<string>()
  for (const state of states.values()) {
    if (state.kind !== 'issued') continue
    issuers.add(state.held.svid.authority)
    if (state.next) issuers.add(state.next.held.svid.authority)
  }
  return issuers
}

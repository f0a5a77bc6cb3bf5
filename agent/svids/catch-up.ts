import type { ErrorCode } from '../errors.js'
import { isDefinite, isOfTheAgent, isServerAway } from './outcomes.js'
import type { EntryState } from './snapshot.js'

/** States that are different now, by entry. */
export type Changes = ReadonlyMap<string, EntryState>

/**
 * What failed with the server as a whole may be tried again at once, for it works again; the plan takes the soonest
 * expiry first. `away`: it only answers again, or accepts the agent again, so that only what failed for want of that is
 * worth a try. A refusal of the entry itself stands.
 */
export function caughtUp(states: ReadonlyMap<string, EntryState>, { away }: { readonly away: boolean }): Changes {
  const passing = (code: ErrorCode) => (away ? isServerAway(code) || isOfTheAgent(code) : !isDefinite(code))
  return changed(states, (state) => {
    if (state.kind === 'shadowed' || !state.failures || !passing(state.failures.code)) return state
    return retryAt(state, 0)
  })
}

/** What failed may work now, for what it depends on has changed: as if it had not failed before. */
export function anew(states: ReadonlyMap<string, EntryState>): Changes {
  return changed(states, (state) => {
    if (state.kind === 'shadowed' || !state.failures) return state
    const failures = { count: 0, retryAt: 0, code: state.failures.code }
    return state.kind === 'refused' ? { ...state, failures, until: 0 } : { ...state, failures }
  })
}

/** The wall clock was set back by so much: what waits does not wait longer for it. */
export function setBack(states: ReadonlyMap<string, EntryState>, byMs: number): Changes {
  return changed(states, (state) => {
    if (state.kind === 'shadowed') return state
    const waits = state.failures ? retryAt(state, state.failures.retryAt - byMs) : state
    if (waits.kind !== 'issued' || !waits.next) return waits
    return { ...waits, next: { ...waits.next, from: waits.next.from - byMs } }
  })
}

function retryAt(
  state: Exclude<EntryState, { kind: 'shadowed' }>,
  at: number,
): Exclude<EntryState, { kind: 'shadowed' }> {
  if (!state.failures || at >= state.failures.retryAt) return state
  const failures = { ...state.failures, retryAt: at }
  return state.kind === 'refused' ? { ...state, failures, until: at } : { ...state, failures }
}

function changed(states: ReadonlyMap<string, EntryState>, change: (state: EntryState) => EntryState): Changes {
  const changes = new Map<string, EntryState>()
  for (const [id, state] of states) {
    const next = change(state)
    if (next !== state) changes.set(id, next)
  }
  return changes
}

import type { AgentError } from '../errors.js'
import { type Match, NO_MATCH } from '../svids/entry-index.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { WorkloadState } from './attested-process.js'
import type { DecisionInput, Refusal } from './decision.js'

/** The entries that a process matches, as far as it is attested. */
export function matchOf(state: WorkloadState, { index }: Pick<Snapshot, 'index'>, maxIdentities: number): Match {
  if (state.kind !== 'attested') return NO_MATCH
  return index.match(state.selectors, state.unavailable, maxIdentities)
}

/**
 * The input of a decision on a process, whether it is connected or only explained. `check` checks the process now; it is
 * not called if attestation has failed.
 */
export function decisionInputOf(
  state: WorkloadState,
  check: () => AgentError | null,
  match: Match,
  snapshot: Snapshot,
  heldGrants: Refusal | null,
): Pick<DecisionInput, 'refusal' | 'attesting' | 'waitMs' | 'match' | 'snapshot' | 'heldGrants'> {
  const error = state.kind === 'failed' ? state.error : check()
  return {
    refusal: error && { code: error.code, message: error.message },
    attesting: state.kind === 'pending',
    waitMs: state.kind === 'attested' ? state.waitMs : 0,
    match,
    snapshot,
    heldGrants,
  }
}

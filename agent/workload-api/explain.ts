import type { Attestation, AttestContext, Known } from '../attestation/attest.js'
import type { Caller } from '../attestation/caller.js'
import { AgentError } from '../errors.js'
import type { NearEntry } from '../observability/api-events.js'
import { type Match, NO_MATCH } from '../svids/entry-index.js'
import type { SvidStore } from '../svids/store.js'
import { attestAsItself } from './attest-as-itself.js'
import { type Decision, decide, type Refusal } from './decision.js'
import { nearestEntries } from './nearest-entries.js'
import { stillItself } from './still-itself.js'

export interface ExplainContext extends Pick<AttestContext, 'attestors' | 'clock' | 'deadlineMs'> {
  readonly store: Pick<SvidStore, 'current'>
  readonly maxIdentities: number
}

/** What a process would be told, and why. */
export interface Explanation {
  /** Null where attestation came to nothing; the decision says why. */
  readonly attestation: Pick<Attestation, 'selectors' | 'unavailable' | 'notes'> | null
  readonly match: Match
  /** On a call that was held for as long as calls are. */
  readonly decision: Decision
  /** The entries that it came nearest to; at most `NEAREST`. */
  readonly nearest: readonly NearEntry[]
}

const NEAREST = 5
const NOTHING: Known = new Map()
/** What attestors say now is for the explanation, not for their status. */
const UNHEARD = { attestorFailed: () => undefined, attestorAnswered: () => undefined }

/**
 * Attestation, match and decision for a process that need not be connected. It asks the platforms, and otherwise changes
 * nothing: no demand, no status of an attestor, no denial. The process stays the caller's to dispose.
 */
export async function explain(context: ExplainContext, caller: Caller, signal: AbortSignal): Promise<Explanation> {
  const { store, maxIdentities, clock } = context
  const attested = await attestOnce(context, caller, signal)
  const snapshot = store.current
  const refusal: Refusal | null = attested instanceof AgentError ? attested : null
  const attestation = attested instanceof AgentError ? null : attested
  const match = attestation
    ? snapshot.index.match(attestation.selectors, attestation.unavailable, maxIdentities)
    : NO_MATCH
  const decision = decide({
    refusal,
    attesting: false,
    waitMs: 0,
    match,
    snapshot,
    now: clock.now(),
    heldForMs: 0,
    holdMs: 0,
    served: null,
    stopping: false,
  })
  const nearest = attestation ? nearestEntries(snapshot.entries.values(), attestation.selectors, NEAREST) : []
  return { attestation, match, decision, nearest }
}

async function attestOnce(
  context: ExplainContext,
  caller: Caller,
  signal: AbortSignal,
): Promise<Attestation | AgentError> {
  const controller = new AbortController()
  const stop = () => controller.abort(signal.reason)
  signal.addEventListener('abort', stop, { once: true })
  try {
    const check = () => stillItself(caller)
    return await attestAsItself({ ...context, events: UNHEARD }, caller, NOTHING, controller, check)
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  } finally {
    signal.removeEventListener('abort', stop)
  }
}

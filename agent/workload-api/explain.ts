import { type AttestContext, attestAsItself, type Known } from '../attestation/attest.js'
import type { Caller } from '../attestation/caller.js'
import { AgentError, messageOf } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import { onAbort } from '../lib/abort.js'
import type { NearEntry } from '../observability/api-events.js'
import type { Match } from '../svids/entry-index.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { SvidStore } from '../svids/store.js'
import type { WorkloadState } from './attested-process.js'
import { type Decision, decide, type Refusal } from './decision.js'
import { decisionInputOf, matchOf } from './decision-input.js'
import { near, nearestOf } from './nearest-entries.js'
import { stillItself } from './still-itself.js'

export interface ExplainContext extends Pick<AttestContext, 'attestors' | 'clock' | 'deadlineMs'> {
  readonly store: Pick<SvidStore, 'current'>
  readonly maxIdentities: number
  /** Why nothing new is granted now; null: new grants are made. */
  readonly heldGrants?: () => Refusal | null
  /** How long a call is held. */
  readonly holdMs: number
  /** Selectors of an earlier attestation of the process, as a connected workload has them. */
  readonly knownOf: (caller: Caller) => Known
  /** Yields to the event loop. */
  readonly turn: () => Promise<void>
}

/** What a process would get, and why. */
export interface Explanation {
  /** Attested or failed, as for its workload. */
  readonly state: WorkloadState
  /** Selectors by attestor; empty if attestation failed. */
  readonly found: Known
  /** The attestors of each platform. */
  readonly speakers: ReadonlyMap<string, readonly string[]>
  /** The match that the decision uses. */
  readonly match: Match
  /** All matching entries, oldest first, also beyond the limit of identities; at most `MOST_LISTED`. */
  readonly matches: readonly Entry[]
  /** For a call for X.509-SVIDs now. */
  readonly decision: Decision
  /** For the same call at the end of the hold, if nothing changes. */
  readonly afterHold: Decision
  /** The entries nearest to matching; at most `NEAREST`. */
  readonly nearest: readonly NearEntry[]
  /** The snapshot of the explanation, and its time (wall-clock milliseconds). */
  readonly snapshot: Snapshot
  readonly at: number
}

const NEAREST = 5
const MOST_LISTED = 500
/** Entries that are compared before yielding to the event loop. */
const IN_ONE_TURN = 1_000
const NOTHING: Known = new Map()
/** Ignores results of attestors: an explanation must not change their status. */
const UNHEARD = { attestorFailed: () => undefined, attestorAnswered: () => undefined }

/**
 * Attestation, match and decision for a process that need not be connected, by the functions that serve connected ones.
 * It asks the platforms and changes nothing: no demand, no attestor status, no denial. The caller of this function
 * disposes the process. Platforms that have not answered when the signal aborts are unavailable.
 */
export async function explain(context: ExplainContext, caller: Caller, signal: AbortSignal): Promise<Explanation> {
  signal.throwIfAborted()
  const { store, maxIdentities, clock, holdMs } = context
  const { state, found } = await attestOnce(context, caller, signal)
  const snapshot = store.current
  const at = clock.now()
  const match = matchOf(state, snapshot, maxIdentities)
  const held = context.heldGrants?.() ?? null
  const input = decisionInputOf(state, () => stillItself(caller), match, snapshot, held)
  const after = (ms: number) => decide({ ...input, now: at + ms, heldForMs: ms, holdMs, served: null, stopping: false })
  const all = match.truncated ? matchOf(state, snapshot, MOST_LISTED).ids : match.ids
  return {
    state,
    found,
    speakers: speakersOf(context),
    match,
    matches: all.flatMap((id) => snapshot.entries.get(id) ?? []),
    decision: after(0),
    afterHold: after(Math.max(holdMs, input.waitMs)),
    nearest: await nearestIn(context, snapshot, state),
    snapshot,
    at,
  }
}

interface Attested {
  readonly state: WorkloadState
  readonly found: Known
}

/** Attests as for a workload. */
async function attestOnce(context: ExplainContext, caller: Caller, signal: AbortSignal): Promise<Attested> {
  const { clock } = context
  const check = () => stillItself(caller)
  const controller = new AbortController()
  using _link = onAbort(signal, () => controller.abort(signal.reason))
  try {
    const known = context.knownOf(caller)
    const result = await attestAsItself({ ...context, events: UNHEARD }, caller, known, controller, check)
    if (result instanceof AgentError) return failed(result, clock.monotonic())
    const { selectors, unavailable, notes, waitMs, known: found } = result
    return { state: { kind: 'attested', selectors, unavailable, notes, waitMs, at: clock.monotonic() }, found }
  } catch (cause) {
    const error = cause instanceof AgentError ? cause : new AgentError('internal', messageOf(cause), { cause })
    return failed(error, clock.monotonic())
  }
}

function failed(error: AgentError, at: number): Attested {
  return { state: { kind: 'failed', error, at }, found: NOTHING }
}

function speakersOf({ attestors }: Pick<ExplainContext, 'attestors'>): ReadonlyMap<string, readonly string[]> {
  const speakers = new Map<string, string[]>()
  for (const { name, platforms } of attestors) {
    for (const platform of platforms) speakers.set(platform, [...(speakers.get(platform) ?? []), name])
  }
  return speakers
}

async function nearestIn(
  { turn }: Pick<ExplainContext, 'turn'>,
  { entries }: Snapshot,
  state: WorkloadState,
): Promise<readonly NearEntry[]> {
  if (state.kind !== 'attested') return []
  const { selectors } = state
  let nearest: readonly Entry[] = []
  let some: Entry[] = []
  for (const entry of entries.values()) {
    some.push(entry)
    if (some.length < IN_ONE_TURN) continue
    nearest = nearestOf([...nearest, ...some], selectors, NEAREST)
    some = []
    await turn()
  }
  return nearestOf([...nearest, ...some], selectors, NEAREST).map((entry) => near(entry, selectors))
}

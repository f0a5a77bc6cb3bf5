import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import { type Decision, type DecisionInput, entitlement, heldGrant, isNoIdentity, uncertainty } from './decision.js'
import { refusalStatus } from './refusal.js'
import type { Workload } from './workload.js'

/** The parameters of a unary call's wait. */
export interface DecidedOptions {
  readonly workload: Workload
  readonly method: Method
  readonly clock: Clock
  readonly events: ApiEvents
  readonly holdMs: number
  readonly stopping: () => boolean
  /** Aborts when the client cancels. */
  readonly signal: AbortSignal
  /** Whether the call makes demand for X.509-SVIDs of the matched entries. */
  readonly demand: boolean
}

export interface EntitledOptions extends Omit<DecidedOptions, 'demand'> {
  /** Callers without an identity are accepted, with no entries. */
  readonly openToAll?: boolean
  /** The call is granted something that the audit log records. */
  readonly grants?: boolean
  /** False if the requested entry is not among these; then the call waits for unavailable platforms. */
  readonly suffices?: (ids: readonly string[]) => boolean
}

/**
 * The entries that a unary call is entitled to, as soon as they are known. Makes no demand, because a token or a bundle
 * needs no X.509-SVID.
 */
export function entitledEntries(options: EntitledOptions): Promise<readonly string[]> {
  const { openToAll = false, grants = false, suffices = () => true } = options
  return decided({ ...options, demand: false }, (input) => {
    const { ids } = input.match
    const denied =
      entitlement(input) ?? (suffices(ids) ? null : uncertainty(input)) ?? (grants ? heldGrant(input) : null)
    return denied === null || (openToAll && isNoIdentity(denied)) ? { kind: 'send', ids } : denied
  })
}

/** Waits for the first decision to send and returns its ids; held and refused like a stream. Rejects with a gRPC status. */
export function decided(
  { workload, method, clock, events, holdMs, stopping, signal, demand }: DecidedOptions,
  decide: (input: DecisionInput) => Decision,
): Promise<readonly string[]> {
  const began = clock.monotonic()
  return new Promise((resolve, reject) => {
    let timer: Disposable | null = null
    const end = (settle: () => void) => {
      timer?.[Symbol.dispose]()
      subscription[Symbol.dispose]()
      signal.removeEventListener('abort', aborted)
      settle()
    }
    const aborted = () => end(() => reject(signal.reason))
    const look = () => {
      timer?.[Symbol.dispose]()
      timer = null
      try {
        settleBy(
          decide({
            ...workload.decisionInput(),
            now: clock.now(),
            heldForMs: clock.monotonic() - began,
            holdMs,
            served: null,
            stopping: stopping(),
          }),
        )
      } catch (error) {
        end(() => reject(error))
      }
    }
    const settleBy = (decision: Decision) => {
      if (decision.kind === 'send') end(() => resolve(decision.ids))
      else if (decision.kind === 'hold') timer = clock.after(decision.forMs, look)
      else end(() => reject(refusalStatus(decision, workload, method, events)))
    }
    const subscription = workload.subscribe(look, { demand })
    signal.addEventListener('abort', aborted, { once: true })
    look()
  })
}

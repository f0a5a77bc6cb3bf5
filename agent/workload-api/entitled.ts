import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import { type DecisionInput, entitlement, isNoIdentity, uncertainty } from './decision.js'
import { refusalStatus } from './refusal.js'
import type { Workload } from './workload.js'

export interface EntitledOptions {
  readonly workload: Workload
  readonly method: Method
  readonly clock: Clock
  readonly events: ApiEvents
  readonly holdMs: number
  readonly stopping: () => boolean
  /** Callers without an identity are welcome; they have no entries then. */
  readonly openToAll?: boolean
  /** False for entries among which that is missing which was asked for: a platform that is away may hold it back. */
  readonly suffices?: (ids: readonly string[]) => boolean
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal
}

/**
 * The entries that a unary call is entitled to, as soon as that is known: held like a stream, refused like a stream.
 * Rejects with a gRPC status.
 */
export function entitledEntries(options: EntitledOptions): Promise<readonly string[]> {
  const {
    workload,
    method,
    clock,
    events,
    holdMs,
    stopping,
    openToAll = false,
    suffices = () => true,
    signal,
  } = options
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
    const decide = () => {
      timer?.[Symbol.dispose]()
      timer = null
      const found = workload.decisionInput()
      const input: DecisionInput = {
        ...found,
        now: clock.now(),
        heldForMs: clock.monotonic() - began,
        holdMs,
        served: null,
        stopping: stopping(),
      }
      const denied = entitlement(input) ?? (suffices(found.match.ids) ? null : uncertainty(input))
      if (denied === null || (openToAll && isNoIdentity(denied))) end(() => resolve(found.match.ids))
      else if (denied.kind === 'hold') timer = clock.after(denied.forMs, decide)
      else if (denied.kind === 'refuse') end(() => reject(refusalStatus(denied, workload, method, events)))
    }
    // A token or a bundle needs no X.509-SVID: subscribing makes no demand.
    const subscription = workload.subscribe(decide, { demand: false })
    signal.addEventListener('abort', aborted, { once: true })
    decide()
  })
}

import type { Note } from '../attestation/attestor.js'
import type { Caller } from '../attestation/caller.js'
import type { AgentError } from '../errors.js'
import type { Selectors } from '../identity/selector.js'

/** What is known of a workload now. A `failed` one is tried again on a schedule; nothing is granted on it meanwhile. */
export type WorkloadState =
  | { readonly kind: 'pending'; readonly since: number }
  | {
      readonly kind: 'attested'
      /** The same object for as long as the selectors stay the same. */
      readonly selectors: Selectors
      /** Platforms whose selectors are unknown now; selectors of theirs that were known before for this process are kept. */
      readonly unavailable: readonly string[]
      readonly notes: readonly Note[]
      /** How long it is worth waiting for what is unavailable, in milliseconds; 0: no longer than for anything else. */
      readonly waitMs: number
      /** Monotonic milliseconds. */
      readonly at: number
    }
  | { readonly kind: 'failed'; readonly error: AgentError; readonly at: number }

/** One process with one executable and one set of credentials, shared by all of its connections. */
export interface Workload {
  readonly caller: Caller
  readonly state: WorkloadState
  /** True once the process has ended; the state is then `failed` with `caller.exited`. */
  readonly ended: boolean
  /**
   * Whether this is still the caller of the accept: `caller.exited`, `caller.executable_changed`, `caller.ids_changed`
   * or null. Cheap (some 20 µs); call it at each call and before each push.
   */
  check(): AgentError | null
  /** Calls back when the state changed in a way that matters (kind, selectors, unavailable, end), never synchronously. */
  subscribe(changed: () => void): Disposable
  /** Attests again now, besides the schedule. The state stays what it is until that is done. */
  reattest(): void
  /** Gives back one `acquire`. One release too many is a TypeError. */
  release(): void
}

import type { Selectors } from '../identity/selector.js'
import type { Caller } from './caller.js'

/** One line about what an attestor examined and why it left something out. Bounded; never leaves the node. */
export interface Note {
  readonly attestor: string
  readonly text: string
}

/** The result of one attestor for one caller. */
export interface AttestorResult {
  readonly selectors: Selectors
  /** Platforms (selector key prefixes: `docker`, `k8s`) whose selectors are unknown now: engine away, API slow. */
  readonly unavailable: readonly string[]
  readonly notes: readonly Note[]
  /**
   * How long a call may wait for unavailable selectors, in milliseconds: the platform knows the caller, but does not show all
   * of them yet. Absent: the usual wait.
   */
  readonly waitMs?: number
}

/** Which selectors, by attestor and key, a change of the configuration takes away. */
export interface WithdrawnSelectors {
  /** At once: their platform was turned off, or they no longer exist. */
  now(attestor: string, key: string): boolean
  /** With the next attestation, even if their platform is unavailable then: the rules for them have changed. */
  next(attestor: string, key: string): boolean
}

/** The consumer's port: finds the selectors of a caller. */
export interface WorkloadAttestor {
  readonly name: string
  /** Prefixes of the selector keys that it may return. */
  readonly platforms: readonly string[]
  /** Returns before the signal aborts; what it does not know by then is `unavailable`. Never throws because of a platform. */
  attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult>
  /** Calls `changed` when selectors of the caller may have changed (a pod's label). Absent if they never change. */
  onChange?(caller: Caller, changed: () => void): Disposable
}

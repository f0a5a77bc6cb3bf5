import type { Selectors } from '../identity/selector.js'
import type { Caller } from './caller.js'

/** One line of what an attestor looked at and why something was left out. Local only, bounded. */
export interface Note {
  readonly attestor: string
  readonly text: string
}

/** What one attestor says of one caller. */
export interface AttestorResult {
  readonly selectors: Selectors
  /** Platforms (selector key prefixes: `docker`, `k8s`) whose selectors are unknown now: engine away, API slow. */
  readonly unavailable: readonly string[]
  readonly notes: readonly Note[]
  /**
   * For so many milliseconds it is worth waiting for what is unavailable: the platform knows the caller, and has not
   * shown all of it yet. Absent: no longer than for anything else.
   */
  readonly waitMs?: number
}

/** Selectors, by the attestor that said them and their key, that a change of the configuration takes away. */
export interface WithdrawnSelectors {
  /** At once: their platform was turned off, or they are not made any more. */
  now(attestor: string, key: string): boolean
  /** With the next attestation, also where their platform is unavailable then: other rules make them now. */
  next(attestor: string, key: string): boolean
}

/** The consumer's port: gives the selectors of a caller. */
export interface WorkloadAttestor {
  readonly name: string
  /** Prefixes of the selector keys it speaks for. */
  readonly platforms: readonly string[]
  /** Answers before the signal aborts; what it does not know by then is `unavailable`. Never throws for a platform. */
  attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult>
  /** Tells that a subject changed (a pod's label): the workload is attested again. Absent where selectors never change. */
  onChange?(caller: Caller, changed: () => void): Disposable
}

import { type Backoff, delay } from '../lib/backoff.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'

/**
 * Waits between attestations during a lock-out. Without a join token they grow from one minute to ten (the server may
 * not accept the evidence yet, or a gateway refuses it). After a refused token they are ten minutes, and one hour if the
 * server has certainly consumed it.
 */
const LOCKED_FIRST_RETRY_MS = 60_000
const LOCKED_RETRY_MS = 10 * 60_000
const CONSUMED_RETRY_MS = 60 * 60_000

/** The join token of a lock-out: none, one that was refused, or one that was certainly consumed. */
export type LockOutToken = 'nothing' | 'token' | 'consumed_token'

/** When the next attempt to renew or attest may begin, by the monotonic clock. */
export class AttemptPace {
  #failures = 0
  #next = Number.NEGATIVE_INFINITY
  /**
   * A lock-out delays attestations only: an SVID that turns out to be valid (the clock was wrong, a gateway refused) is
   * still renewed before it expires.
   */
  #nextAttestation = Number.NEGATIVE_INFINITY

  constructor(
    private readonly options: { readonly clock: Clock; readonly random: Random; readonly backoff: Backoff },
  ) {}

  /** Milliseconds until an attempt may be made. */
  waitFor(step: 'attest' | 'other'): number {
    const at = step === 'attest' ? Math.max(this.#next, this.#nextAttestation) : this.#next
    return Math.max(0, at - this.options.clock.monotonic())
  }

  /** Clears all back-off. */
  reset(): void {
    this.#failures = 0
    this.#next = Number.NEGATIVE_INFINITY
    this.#nextAttestation = Number.NEGATIVE_INFINITY
  }

  /** An attempt failed for a temporary reason. Returns the wait, at least `atLeastMs`. */
  failed(atLeastMs: number): number {
    this.#failures++
    const wait = Math.max(this.#draw(this.options.backoff), atLeastMs)
    this.#next = this.#in(wait)
    return wait
  }

  /** An attestation failed, and further ones will be refused until an administrator acts. */
  lockedOut(token: LockOutToken): void {
    this.#failures++
    const capMs = token === 'consumed_token' ? CONSUMED_RETRY_MS : LOCKED_RETRY_MS
    const baseMs = token === 'nothing' ? LOCKED_FIRST_RETRY_MS : capMs
    this.#nextAttestation = this.#in(this.#draw({ baseMs, capMs }))
    this.#next = this.#in(this.#draw({ baseMs: LOCKED_FIRST_RETRY_MS, capMs: LOCKED_FIRST_RETRY_MS }))
  }

  /** A renewal was refused during a lock-out, so neither renewal nor attestation is possible now. */
  renewalRefused(): void {
    this.#failures++
    this.#next = this.#in(this.#draw({ baseMs: LOCKED_RETRY_MS, capMs: LOCKED_RETRY_MS }))
  }

  /** Doubles per failure from the base to the cap; a random part of up to half of the wait is subtracted. */
  #draw(backoff: Backoff): number {
    return delay(this.#failures, backoff, this.options.random.fraction())
  }

  #in(ms: number): number {
    return this.options.clock.monotonic() + ms
  }
}

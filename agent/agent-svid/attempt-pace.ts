import { type Backoff, delay } from '../lib/backoff.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'

/**
 * Pace of attestations during a lock-out: it rises to ten minutes where nothing is at stake (evidence that is not
 * accepted yet, a gateway), and is slow from the start where a join token was refused, slower still where it is surely
 * gone.
 */
const LOCKED_FIRST_RETRY_MS = 60_000
const LOCKED_RETRY_MS = 10 * 60_000
const CONSUMED_RETRY_MS = 60 * 60_000

/** What is at stake in a lock-out: no join token, one, or one that is surely gone. */
export type Stake = 'nothing' | 'token' | 'consumed_token'

/** When the next attempt at the agent's own identity may be made; by the clock that never jumps. */
export class AttemptPace {
  #failures = 0
  #next = Number.NEGATIVE_INFINITY
  /**
   * A lock-out holds back attestations alone: where the identity turns out to be valid (the clock was wrong, a gateway
   * refused), it is renewed before it lapses.
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

  /** Nothing speaks against the next attempt any more. */
  reset(): void {
    this.#failures = 0
    this.#next = Number.NEGATIVE_INFINITY
    this.#nextAttestation = Number.NEGATIVE_INFINITY
  }

  /** An attempt failed for a reason that may pass; the wait, of `atLeastMs` or longer. */
  failed(atLeastMs: number): number {
    this.#failures++
    const wait = Math.max(this.#draw(this.options.backoff), atLeastMs)
    this.#next = this.#in(wait)
    return wait
  }

  /** An attestation failed and will be refused until an administrator does something. */
  lockedOut(stake: Stake): void {
    this.#failures++
    const capMs = stake === 'consumed_token' ? CONSUMED_RETRY_MS : LOCKED_RETRY_MS
    const baseMs = stake === 'nothing' ? LOCKED_FIRST_RETRY_MS : capMs
    this.#nextAttestation = this.#in(this.#draw({ baseMs, capMs }))
    this.#next = this.#in(this.#draw({ baseMs: LOCKED_FIRST_RETRY_MS, capMs: LOCKED_FIRST_RETRY_MS }))
  }

  /** A renewal was refused during a lock-out: neither way is open. */
  renewalRefused(): void {
    this.#failures++
    this.#next = this.#in(this.#draw({ baseMs: LOCKED_RETRY_MS, capMs: LOCKED_RETRY_MS }))
  }

  /** Doubled per failure from the base to the cap; of each wait the upper half is drawn. */
  #draw(backoff: Backoff): number {
    return delay(this.#failures, backoff, this.options.random.fraction())
  }

  #in(ms: number): number {
    return this.options.clock.monotonic() + ms
  }
}

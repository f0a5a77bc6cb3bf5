import { AgentError, type ErrorCode, isError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { dropOldest } from '../lib/oldest.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'

/** Final answers of the server: a retry would get the same. */
const REFUSED: ReadonlySet<ErrorCode> = new Set([
  'icp.bad_request',
  'icp.forbidden',
  'icp.not_found',
  'icp.conflict',
  'icp.no_match',
  'icp.svid_unknown',
])
/** Servers of the tenant API answer 500 for an unknown serial, but also while their CA is unavailable. */
const FAILS_FOR_GOOD = 3
/**
 * Back-off after failures that are not about the certificate: the server is unreachable or fails, or the agent must
 * attest again.
 */
const AGAIN: Backoff = { baseMs: 30_000, capMs: 600_000 }
/** SVIDs live for hours, so after this time a revocation is pointless. */
const WORTH_MS = 86_400_000
const MOST = 10_000

export interface RevocationsOptions {
  readonly controlPlane: Pick<ControlPlane, 'revokeWorkload'>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly events: SyncEvents
}

/**
 * Serials of SVIDs whose entries were removed; they are revoked at the server when no other job is due. The queue is
 * bounded and not kept across restarts, because the SVIDs expire soon by themselves.
 */
export class Revocations {
  /** By serial, when it was added. */
  readonly #queue = new Map<string, number>()
  #failures = 0
  #pausedUntil = Number.NEGATIVE_INFINITY

  constructor(private readonly options: RevocationsOptions) {}

  /** Serials to revoke now, oldest first; lower-case hex pairs joined by colons. */
  get serials(): readonly string[] {
    return this.opensIn === 0 ? [...this.#queue.keys()] : []
  }

  /** Milliseconds until a revocation may be tried; 0: now, infinite: none waits. */
  get opensIn(): number {
    const now = this.options.clock.monotonic()
    for (const [serial, addedAt] of this.#queue) {
      if (now - addedAt <= WORTH_MS) break
      this.#queue.delete(serial)
    }
    return this.#queue.size === 0 ? Number.POSITIVE_INFINITY : Math.max(0, this.#pausedUntil - now)
  }

  add(serials: readonly string[]): void {
    const now = this.options.clock.monotonic()
    for (const serial of serials) this.#queue.set(serial, now)
    dropOldest(this.#queue, MOST)
  }

  /** The server answers again: revocations that failed without an answer are retried at the next slot. */
  serverReturned(): void {
    this.#pausedUntil = Number.NEGATIVE_INFINITY
  }

  /**
   * One request. A refusal is logged and not retried. After a 429 the serial stays in the queue; after a failure that is
   * not about the certificate it stays too, with one log line and a pause.
   */
  async revoke(serial: string, signal: AbortSignal): Promise<void> {
    const { controlPlane, events, clock } = this.options
    try {
      await controlPlane.revokeWorkload(serial, signal)
      events.revoked(serial)
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      if (error.code === 'icp.rate_limited') return
      const hopeless =
        isError(error, 'icp.server_error') && error.details.status === 500 && this.#failures + 1 >= FAILS_FOR_GOOD
      const refused = hopeless || REFUSED.has(error.code)
      if (refused || this.#failures === 0) events.revocationFailed(serial, error.code, { givenUp: refused })
      if (!refused) {
        this.#pausedUntil = clock.monotonic() + delay(++this.#failures, AGAIN, 1)
        return
      }
    }
    this.#failures = 0
    this.#queue.delete(serial)
  }
}

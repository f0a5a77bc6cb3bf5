import { AgentError, type ErrorCode, isError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { type Backoff, delay } from '../lib/backoff.js'
import { dropOldest } from '../lib/oldest.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'

/** The server has decided, and will say the same again. */
const REFUSED: ReadonlySet<ErrorCode> = new Set([
  'icp.bad_request',
  'icp.forbidden',
  'icp.not_found',
  'icp.conflict',
  'icp.no_match',
  'icp.svid_unknown',
])
/** Servers of the tenant API answer 500 to a serial that they do not know, and to one while their CA is away. */
const FAILS_FOR_GOOD = 3
/**
 * After failures that say nothing about the certificate: the server is away or fails, or the agent must attest again.
 */
const AGAIN: Backoff = { baseMs: 30_000, capMs: 600_000 }
/** SVIDs live for hours: one that was to be revoked so long ago has ended, or nearly. */
const WORTH_MS = 86_400_000
const MOST = 10_000

export interface RevocationsOptions {
  readonly controlPlane: Pick<ControlPlane, 'revokeWorkload'>
  readonly clock: Pick<Clock, 'monotonic'>
  readonly events: SyncEvents
}

/**
 * Serials of SVIDs whose entries were removed, revoked at the server when nothing else is worth a request. The queue is
 * bounded and does not outlive the process; the SVIDs end by themselves soon.
 */
export class Revocations {
  /** By serial, when it was added. */
  readonly #queue = new Map<string, number>()
  #failures = 0
  #pausedUntil = Number.NEGATIVE_INFINITY

  constructor(private readonly options: RevocationsOptions) {}

  /** What may be asked for now, oldest first; lower-case hex pairs joined by colons. */
  get serials(): readonly string[] {
    return this.opensIn === 0 ? [...this.#queue.keys()] : []
  }

  /** Milliseconds until there is something to ask for; 0: now, infinite where nothing waits. */
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

  /** The server answers again: what failed for want of an answer is tried at the next slot. */
  serverReturned(): void {
    this.#pausedUntil = Number.NEGATIVE_INFINITY
  }

  /**
   * One request. A refusal is said and not repeated, a 429 leaves the serial where it is; so does what is no word about
   * it, which is said once and followed by a pause.
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

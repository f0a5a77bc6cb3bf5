import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'

const JITTER = 0.1
/** How soon a doubted read is repeated. */
const AGAIN_MS = 5_000
/** How much closer the interval comes to its base with each sync that met no 429. */
const SHRINK = 0.85

/**
 * When entries are synced: every base interval, jittered; 429s show neighbours behind the same address and stretch the
 * interval, quiet syncs shrink it again. The interval in force bounds how late a change of entries reaches streams.
 */
export class SyncPace {
  #intervalMs: number
  #dueAt: number
  #limitedSinceSync = false

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly random: Random,
    private readonly settings: { readonly intervalMs: number; readonly maxIntervalMs: number },
  ) {
    this.#intervalMs = settings.intervalMs
    this.#dueAt = clock.monotonic()
  }

  get intervalMs(): number {
    return this.#intervalMs
  }

  /** Milliseconds until the next sync is due; negative when it is late. */
  dueIn(): number {
    return this.#dueAt - this.clock.monotonic()
  }

  /** A 429 on the tier that sync shares: at most one doubling between two syncs. */
  limited(): void {
    if (this.#limitedSinceSync) return
    this.#limitedSinceSync = true
    this.#intervalMs = Math.min(this.settings.maxIntervalMs, this.#intervalMs * 2)
    this.#schedule()
  }

  /** A sync came to an end, well or not. */
  synced(): void {
    if (!this.#limitedSinceSync) {
      this.#intervalMs = Math.max(this.settings.intervalMs, this.#intervalMs * SHRINK)
    }
    this.#limitedSinceSync = false
    this.#schedule()
  }

  /** A read is doubted: once more, soon. */
  again(): void {
    this.#dueAt = this.clock.monotonic() + Math.min(this.#intervalMs, AGAIN_MS)
  }

  /** Something suggests that entries changed: sync at the next slot. */
  soon(): void {
    this.#dueAt = Math.min(this.#dueAt, this.clock.monotonic())
  }

  #schedule(): void {
    const jitter = 1 + (this.random.fraction() * 2 - 1) * JITTER
    this.#dueAt = this.clock.monotonic() + this.#intervalMs * jitter
  }
}

import { routineGap } from '../icp/limits.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import { delay } from '../lib/backoff.js'
import { Signal } from '../lib/signal.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { EARLY_GAP_MS, EarlySync } from './early-sync.js'

const JITTER = 0.1
/** The first wait after a doubtful or failed read. */
const AGAIN_MS = 5_000
/** How much a 429 adds to the stretch, and how fast the stretch fades. At a stretch of 1 the interval is the longest. */
const STEP = 0.25
const FADES_MS = 3_600_000
/** 429s within this time count as one, because concurrent requests fail together. */
const ONE_MS = 60_000

/**
 * When entries are synced: every base interval, jittered. A 429 shows that other agents use the address and stretches the
 * interval towards the longest; without 429s it shrinks again. Entry syncs use at most a third of the pace; the rest is
 * for SVIDs. The interval in force is the longest time until a change of entries reaches streams. Callers that match no
 * entry cause early reads in addition.
 */
export class SyncSchedule {
  #stretch = 0
  #stretchedAt: number | null = null
  #failures = 0
  /** When the last sync succeeded; null before the first. */
  #syncedAt: number | null = null
  #dueAt: number
  /** Until when the requests so far have used up the share of entry syncs. */
  #sharedUntil = Number.NEGATIVE_INFINITY
  readonly #early = new EarlySync()
  readonly #sooner = new Signal()
  #beganAt = Number.NEGATIVE_INFINITY
  /** The present or last read is an early one, in addition to the regular ones. */
  #beside = false

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly random: Random,
    private readonly settings: { readonly intervalMs: number; readonly maxIntervalMs: number },
    private readonly limiter: Pick<RateLimiter, 'pace' | 'pressure'>,
  ) {
    this.#dueAt = clock.monotonic()
  }

  /** The interval now in force. */
  get intervalMs(): number {
    const { intervalMs, maxIntervalMs } = this.settings
    return Math.max(this.#gap, intervalMs * Math.max(1, maxIntervalMs / intervalMs) ** this.#stretchNow())
  }

  /** Milliseconds until the next sync is due; negative if a regular one is late. */
  dueIn(): number {
    return Math.min(this.#regularIn(), this.#earlyIn())
  }

  /**
   * A caller of the subject (a container, a user) matches no entry: it may have been registered since the last read.
   */
  unmatched(subject: string): void {
    if (this.#early.asked(subject, this.clock.monotonic())) this.#sooner.emit()
  }

  /** Calls back when a sync may be due sooner than `dueIn` returned. */
  onSooner(listener: () => void): Disposable {
    return this.#sooner.subscribe(listener)
  }

  /** A read begins. It is not charged to the share while no entries are known, because no other job needs the pace. */
  began({ known }: { readonly known: boolean }): void {
    const now = this.clock.monotonic()
    // A read shortly before the regular one replaces it.
    this.#beside = this.#regularIn() > EARLY_GAP_MS / 2
    this.#early.began(now, this.#beside)
    this.#beganAt = now
    if (known) this.#sharedUntil = Math.max(this.#sharedUntil, now) + this.#gap
  }

  /**
   * A 429 on the tier of entry syncs, for any request. Delays the next sync, but to at most one stretched interval after
   * the last, so that continuing 429s do not prevent withdrawals. The first sync stays due.
   */
  limited(): void {
    const now = this.clock.monotonic()
    if (this.#stretchedAt !== null && now - this.#stretchedAt < ONE_MS) return
    this.#stretch = Math.min(1, this.#stretchNow() + STEP)
    this.#stretchedAt = now
    if (this.#syncedAt !== null) this.#dueAt = Math.max(this.#dueAt, this.#syncedAt + this.#jittered(this.intervalMs))
  }

  /** A sync succeeded. `added`: it brought new entries. */
  synced({ added = false }: { readonly added?: boolean } = {}): void {
    this.#failures = 0
    this.#syncedAt = this.clock.monotonic()
    if (added) this.#early.broughtEntries()
    if (!this.#beside) this.#putOff(this.intervalMs)
  }

  /**
   * A sync got a 429 itself. The slots until the next one are for renewals, which must not starve because of entries that
   * are already known. Before any are known no other job needs a slot, and the sync stays due.
   */
  refused({ known }: { readonly known: boolean }): void {
    if (known) this.#putOff(this.intervalMs)
  }

  /** A sync failed, but not by a 429: retried soon at first, then at the usual interval. */
  failed(): void {
    this.#putOff(delay(++this.#failures, { baseMs: AGAIN_MS, capMs: this.intervalMs }, 1))
  }

  /** The list is doubtful: read again soon. */
  again(): void {
    this.#dueAt = this.clock.monotonic() + Math.min(this.intervalMs, AGAIN_MS)
  }

  /** The settings changed: the next sync is due within the interval now in force. */
  reconsider(): void {
    this.#dueAt = Math.min(this.#dueAt, this.clock.monotonic() + this.#jittered(this.intervalMs))
  }

  /** Entries may have changed: sync at the next slot. */
  soon(): void {
    this.#dueAt = Math.min(this.#dueAt, this.clock.monotonic())
  }

  /** Mean time between two reads; after a pause two may follow each other at once. */
  get #gap(): number {
    return routineGap(this.limiter.pace('standard'))
  }

  #regularIn(): number {
    return Math.max(this.#dueAt, this.#shareFreeAt) - this.clock.monotonic()
  }

  #earlyIn(): number {
    const now = this.clock.monotonic()
    const wanted = this.#early.dueIn(now, this.#beganAt, this.limiter.pressure('standard'))
    return Math.max(wanted, this.#shareFreeAt - now)
  }

  get #shareFreeAt(): number {
    return this.#sharedUntil - this.#gap
  }

  #stretchNow(): number {
    if (this.#stretchedAt === null) return 0
    return this.#stretch * Math.exp((this.#stretchedAt - this.clock.monotonic()) / FADES_MS)
  }

  #putOff(ms: number): void {
    this.#dueAt = this.clock.monotonic() + this.#jittered(ms)
  }

  #jittered(ms: number): number {
    return ms * (1 + (this.random.fraction() * 2 - 1) * JITTER)
  }
}

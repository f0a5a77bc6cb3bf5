import { routineGap } from '../icp/limits.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import { delay } from '../lib/backoff.js'
import { Signal } from '../lib/signal.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import { EARLY_GAP_MS, EarlySync } from './early-sync.js'

const JITTER = 0.1
/** How soon a doubted or failed read is repeated, the first time. */
const AGAIN_MS = 5_000
/** What a 429 adds to the stretch, and how fast it fades. A stretch of 1 is the longest interval. */
const STEP = 0.25
const FADES_MS = 3_600_000
/** 429s so close together are one: requests sent side by side fail side by side. */
const ONE_MS = 60_000

/**
 * When entries are synced: every base interval, jittered; 429s show neighbours behind the same address and stretch the
 * interval towards the longest, quiet times shrink it again. Whatever the interval, entries take a third of the pace at
 * most: the rest is for SVIDs. The interval in force bounds how late a change of entries reaches streams. Callers that
 * match nothing bring reads forward, besides the regular ones.
 */
export class SyncSchedule {
  #stretch = 0
  #stretchedAt: number | null = null
  #failures = 0
  /** When the last good end of a sync was; null before the first. */
  #syncedAt: number | null = null
  #dueAt: number
  /** Until when the requests made so far take the whole share of entries. */
  #sharedUntil = Number.NEGATIVE_INFINITY
  readonly #early = new EarlySync()
  readonly #sooner = new Signal()
  #beganAt = Number.NEGATIVE_INFINITY
  /** The read under way, or the last one, stands beside the regular ones. */
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

  /** Milliseconds until the next sync is due; negative when a regular one is late. */
  dueIn(): number {
    return Math.min(this.#regularIn(), this.#earlyIn())
  }

  /**
   * A caller of the subject (a container, a user) matches no entry: it may have been registered since the last read.
   */
  unmatched(subject: string): void {
    if (this.#early.asked(subject, this.clock.monotonic())) this.#sooner.emit()
  }

  /** Calls back when a sync may be due sooner than was said. */
  onSooner(listener: () => void): Disposable {
    return this.#sooner.subscribe(listener)
  }

  /** A read begins. While no entries are known nothing else needs the pace: then it takes nothing of its share. */
  began({ known }: { readonly known: boolean }): void {
    const now = this.clock.monotonic()
    // Shortly before the regular one it stands for it.
    this.#beside = this.#regularIn() > EARLY_GAP_MS / 2
    this.#early.began(now, this.#beside)
    this.#beganAt = now
    if (known) this.#sharedUntil = Math.max(this.#sharedUntil, now) + this.#gap
  }

  /**
   * A 429 on the tier that sync shares, whoever met it. The next sync is put off, but never beyond one stretched
   * interval after the last: 429s that keep coming must not keep withdrawals away. The first one stays due.
   */
  limited(): void {
    const now = this.clock.monotonic()
    if (this.#stretchedAt !== null && now - this.#stretchedAt < ONE_MS) return
    this.#stretch = Math.min(1, this.#stretchNow() + STEP)
    this.#stretchedAt = now
    if (this.#syncedAt !== null) this.#dueAt = Math.max(this.#dueAt, this.#syncedAt + this.#jittered(this.intervalMs))
  }

  /** A sync came to a good end. `added`: it brought entries that were not known. */
  synced({ added = false }: { readonly added?: boolean } = {}): void {
    this.#failures = 0
    this.#syncedAt = this.clock.monotonic()
    if (added) this.#early.broughtEntries()
    if (!this.#beside) this.#putOff(this.intervalMs)
  }

  /**
   * A sync met a 429 itself. The slots until the next one are for renewals: they must not starve for entries that are
   * known already. Before any are known nothing else is worth a slot, and it stays due.
   */
  refused({ known }: { readonly known: boolean }): void {
    if (known) this.#putOff(this.intervalMs)
  }

  /** A sync failed, but not by a 429: soon again at first, then at the usual interval. */
  failed(): void {
    this.#putOff(delay(++this.#failures, { baseMs: AGAIN_MS, capMs: this.intervalMs }, 1))
  }

  /** A read is doubted: once more, soon. */
  again(): void {
    this.#dueAt = this.clock.monotonic() + Math.min(this.intervalMs, AGAIN_MS)
  }

  /** The settings changed: the next sync is due within the interval that is in force now. */
  reconsider(): void {
    this.#dueAt = Math.min(this.#dueAt, this.clock.monotonic() + this.#jittered(this.intervalMs))
  }

  /** Something suggests that entries changed: sync at the next slot. */
  soon(): void {
    this.#dueAt = Math.min(this.#dueAt, this.clock.monotonic())
  }

  /** Between two reads in the long run; after a pause two may follow each other at once. */
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

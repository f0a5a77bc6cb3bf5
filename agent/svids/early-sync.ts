import { Bucket, type Rate } from '../lib/bucket.js'
import { putLast } from '../lib/oldest.js'

/**
 * Minimum time before an early read of the entries; with the regular ones there are some eight reads a minute at most.
 */
export const EARLY_GAP_MS = 7_000
/** Limit of early reads of a node within `WITHIN_MS`, whichever subjects cause them. */
const OF_NODE = 6
const WITHIN_MS = 60_000
/** Early reads for one subject: two minutes of them at first, then one a minute. */
const OF_SUBJECT: Rate = { perSecond: 1 / 60, burst: 12 }
/** Above this pressure other agents use the address: their requests matter more than an earlier read. */
const MOST_PRESSURE = 0.05
const MOST_SUBJECTS = 1024

/**
 * Early entry syncs for callers that match no entry, because their entry may just have been registered. A subject is a
 * container or a user, whatever the number of its processes. A subject regains one early read a minute, so that a program
 * in a crash loop costs one request a minute in the long run, and all subjects together six. A read that brings new
 * entries is not charged to the subjects that asked for it.
 */
export class EarlySync {
  /** Ordered by when each subject last asked. */
  readonly #subjects = new Map<string, Bucket>()
  /** Subjects that asked since the last read began, and those of them that cause an early read. */
  readonly #asking = new Set<string>()
  readonly #wanting = new Set<string>()
  /** Subjects that the last read answers. */
  #answered: readonly string[] = []
  /** The last early reads, oldest first. */
  #reads: readonly number[] = []

  /** A caller of the subject matches no entry. True if this newly causes an early read. */
  asked(subject: string, now: number): boolean {
    const bucket = this.#subjects.get(subject) ?? new Bucket(OF_SUBJECT, now)
    putLast(this.#subjects, subject, bucket, MOST_SUBJECTS)
    if (this.#asking.size < MOST_SUBJECTS) this.#asking.add(subject)
    if (!this.#asking.has(subject) || this.#wanting.has(subject) || !bucket.has(now)) return false
    this.#wanting.add(subject)
    return this.#wanting.size === 1
  }

  /** Milliseconds until an early read is due; infinite if none is wanted or under pressure. `lastReadAt`: of any read. */
  dueIn(now: number, lastReadAt: number, pressure: number): number {
    if (this.#wanting.size === 0 || pressure >= MOST_PRESSURE) return Number.POSITIVE_INFINITY
    const [oldest = Number.NEGATIVE_INFINITY] = this.#reads.length < OF_NODE ? [] : this.#reads
    return Math.max(0, lastReadAt + EARLY_GAP_MS - now, oldest + WITHIN_MS - now)
  }

  /** A read begins, which answers all subjects that asked. `early`: no regular read was due. */
  began(now: number, early: boolean): void {
    if (early) {
      this.#reads = [...this.#reads, now].slice(-OF_NODE)
      for (const subject of this.#wanting) this.#subjects.get(subject)?.take(now, true)
    }
    this.#answered = [...this.#asking]
    this.#asking.clear()
    this.#wanting.clear()
  }

  /** The last read brought new entries. */
  broughtEntries(): void {
    for (const subject of this.#answered) this.#subjects.delete(subject)
  }
}

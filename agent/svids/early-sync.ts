import { Bucket, type Rate } from '../lib/bucket.js'
import { putLast } from '../lib/oldest.js'

/**
 * Between two reads of the entries, where the second one is early: with the regular ones that is some eight a minute.
 */
export const EARLY_GAP_MS = 7_000
/** Early reads of a node, whoever asks: so many within so long. */
const OF_NODE = 6
const WITHIN_MS = 60_000
/** For a subject that has just begun to ask, two minutes of early reads; from then on one a minute. */
const OF_SUBJECT: Rate = { perSecond: 1 / 60, burst: 12 }
/** Neighbours showed within the last half hour: what they may ask for matters more than seconds. */
const MOST_PRESSURE = 0.05
const MOST_SUBJECTS = 1024

/**
 * Entries read early for callers that match none: somebody may just be registering them. A subject is a container or a
 * user; its forks are the same one. Reads that brought nothing are refilled at one a minute, so that a program in a
 * crash loop costs one request a minute in the long run, and all of them together six. A read that brings new entries
 * is not charged to the subjects that asked for it.
 */
export class EarlySync {
  /** In the order in which they asked last. */
  readonly #subjects = new Map<string, Bucket>()
  /** Those who asked since the last read began, and those of them who bring the next one forward. */
  readonly #asking = new Set<string>()
  readonly #wanting = new Set<string>()
  /** Those whom the last read answers. */
  #answered: readonly string[] = []
  /** The last early reads, oldest first. */
  #reads: readonly number[] = []

  /** A caller of the subject matches nothing. True when a read is wanted now that was not. */
  asked(subject: string, now: number): boolean {
    const bucket = this.#subjects.get(subject) ?? new Bucket(OF_SUBJECT, now)
    putLast(this.#subjects, subject, bucket, MOST_SUBJECTS)
    if (this.#asking.size < MOST_SUBJECTS) this.#asking.add(subject)
    if (!this.#asking.has(subject) || this.#wanting.has(subject) || !bucket.has(now)) return false
    this.#wanting.add(subject)
    return this.#wanting.size === 1
  }

  /** Milliseconds until an early read is due; infinite without demand, or under pressure. `lastReadAt`: of any kind. */
  dueIn(now: number, lastReadAt: number, pressure: number): number {
    if (this.#wanting.size === 0 || pressure >= MOST_PRESSURE) return Number.POSITIVE_INFINITY
    const [oldest = Number.NEGATIVE_INFINITY] = this.#reads.length < OF_NODE ? [] : this.#reads
    return Math.max(0, lastReadAt + EARLY_GAP_MS - now, oldest + WITHIN_MS - now)
  }

  /** A read begins, which answers everybody who has asked. `early`: it would not have been due. */
  began(now: number, early: boolean): void {
    if (early) {
      this.#reads = [...this.#reads, now].slice(-OF_NODE)
      for (const subject of this.#wanting) this.#subjects.get(subject)?.take(now, true)
    }
    this.#answered = [...this.#asking]
    this.#asking.clear()
    this.#wanting.clear()
  }

  /** The last read brought entries that were not known. */
  broughtEntries(): void {
    for (const subject of this.#answered) this.#subjects.delete(subject)
  }
}

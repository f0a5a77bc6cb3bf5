import type { Clock } from '../ports/clock.js'

/** A line about one subject comes at most this often. */
const PAUSE_MS = 60_000
/** Subjects that are remembered; what is beyond them shares one line a minute. */
const MAX_SUBJECTS = 256
const OTHERS = 'others'

interface Said {
  /** Monotonic. */
  quietUntil: number
  suppressed: number
}

/**
 * What anybody may cause as often as he likes is said at once, and then at most once a minute for each subject, with
 * how many times it was left out meanwhile. All subjects together cannot cause more than some 256 lines a minute.
 */
export class Sparingly {
  readonly #said = new Map<string, Said>()

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** How often it was left out since it was last said; null: it is to be left out now as well. */
  say(subject: string): number | null {
    const key = this.#keyOf(subject)
    const now = this.clock.monotonic()
    const last = this.#said.get(key)
    if (last && now < last.quietUntil) {
      last.suppressed++
      return null
    }
    // Deleted and set: the order of the map is that of the last lines.
    this.#said.delete(key)
    this.#said.set(key, { quietUntil: now + PAUSE_MS, suppressed: 0 })
    return last?.suppressed ?? 0
  }

  /** The subject itself, for which the oldest makes room if its minute is over. */
  #keyOf(subject: string): string {
    if (this.#said.has(subject) || this.#said.size < MAX_SUBJECTS) return subject
    const [oldest] = this.#said
    if (oldest === undefined || oldest[1].quietUntil > this.clock.monotonic()) return OTHERS
    this.#said.delete(oldest[0])
    return subject
  }
}

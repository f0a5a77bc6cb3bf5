import type { Clock } from '../ports/clock.js'

const MINUTE_MS = 60_000
/** Lines about one subject in a minute: who tries again, and looks for what became of it, finds it. */
const A_MINUTE = 3
/** Subjects that are remembered; what is beyond them shares the lines of one. */
const MAX_SUBJECTS = 256
const OTHERS = 'others'

interface Said {
  /** Monotonic. */
  readonly until: number
  lines: number
  suppressed: number
}

/**
 * What anybody may cause as often as he likes is said three times a minute for each subject, the next time with how
 * often it was left out meanwhile. All subjects together cannot cause more than some 800 lines a minute.
 */
export class Sparingly {
  readonly #said = new Map<string, Said>()

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** How often it was left out since it was last said; null: it is to be left out now as well. */
  say(subject: string): number | null {
    const key = this.#keyOf(subject)
    const now = this.clock.monotonic()
    const last = this.#said.get(key)
    if (last && now < last.until) {
      if (last.lines === A_MINUTE) {
        last.suppressed++
        return null
      }
      last.lines++
      return 0
    }
    // Deleted and set: the order of the map is that of the minutes.
    this.#said.delete(key)
    this.#said.set(key, { until: now + MINUTE_MS, lines: 1, suppressed: 0 })
    return last?.suppressed ?? 0
  }

  /** The subject itself, for which the oldest makes room if its minute is over. */
  #keyOf(subject: string): string {
    if (this.#said.has(subject) || this.#said.size < MAX_SUBJECTS) return subject
    const [oldest] = this.#said
    if (oldest === undefined || oldest[1].until > this.clock.monotonic()) return OTHERS
    this.#said.delete(oldest[0])
    return subject
  }
}

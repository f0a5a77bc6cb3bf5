import type { Clock } from '../ports/clock.js'

const MINUTE_MS = 60_000
/** Lines about one subject per minute: enough for a user who retries to find the attempt in the log. */
const A_MINUTE = 3
/** Limit of remembered subjects; further ones share one allowance. */
const MAX_SUBJECTS = 256
const OTHERS = 'others'

interface LoggedLines {
  /** Monotonic. */
  readonly until: number
  lines: number
  suppressed: number
}

/**
 * Limits log lines that callers can cause at will: three a minute for each subject; the next line says how many were
 * suppressed. All subjects together cause at most some 800 lines a minute.
 */
export class Sparingly {
  readonly #logged = new Map<string, LoggedLines>()

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** How many lines were suppressed since the last one; null: suppress this one too. */
  say(subject: string): number | null {
    const key = this.#keyOf(subject)
    const now = this.clock.monotonic()
    const last = this.#logged.get(key)
    if (last && now < last.until) {
      if (last.lines === A_MINUTE) {
        last.suppressed++
        return null
      }
      last.lines++
      return 0
    }
    // Deleted and set again, to keep the map ordered by when the minutes began.
    this.#logged.delete(key)
    this.#logged.set(key, { until: now + MINUTE_MS, lines: 1, suppressed: 0 })
    return last?.suppressed ?? 0
  }

  /** The subject itself if there is room, or if the oldest subject's minute is over and it can be replaced. */
  #keyOf(subject: string): string {
    if (this.#logged.has(subject) || this.#logged.size < MAX_SUBJECTS) return subject
    const [oldest] = this.#logged
    if (oldest === undefined || oldest[1].until > this.clock.monotonic()) return OTHERS
    this.#logged.delete(oldest[0])
    return subject
  }
}

import type { Clock } from '../../agent/ports/clock.js'

/**
 * A platform that has just started, or was restored to an older state, denies for a moment what it knows. What was known
 * counts as gone when the platform denies it again so much later.
 */
export const CONFIRM_MS = 10_000

/** What platforms denied once, and when. Bounded by what was known. */
export class SecondLook {
  readonly #since = new Map<string, number>()

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** How many denials wait for a second one. */
  get pending(): number {
    return this.#since.size
  }

  /** The platform denies what was known. True: it did so before, long enough ago. `at`: when it was asked (monotonic). */
  denied(key: string, at = this.clock.monotonic()): boolean {
    const since = this.#since.get(key)
    if (since === undefined) this.#since.set(key, at)
    if (at - (since ?? at) < CONFIRM_MS) return false
    this.#since.delete(key)
    return true
  }

  /** The platform affirms it, or nobody needs to know any more. */
  settled(key: string): void {
    this.#since.delete(key)
  }
}

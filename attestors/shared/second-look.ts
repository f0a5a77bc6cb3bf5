import type { Clock } from '../../agent/ports/clock.js'

/**
 * A platform that has just started, or was restored to an older state, may deny known objects for a moment. A known object
 * counts as gone if the platform denies it again after this time.
 */
export const CONFIRM_MS = 10_000

/** Objects that a platform denied once, and when. Bounded by the number of known objects. */
export class SecondLook {
  readonly #since = new Map<string, number>()

  constructor(private readonly clock: Pick<Clock, 'monotonic'>) {}

  /** Number of denials without a second one. */
  get pending(): number {
    return this.#since.size
  }

  /** The platform denies a known object. True: it also did long enough before. `at`: when it was asked (monotonic). */
  denied(key: string, at = this.clock.monotonic()): boolean {
    const since = this.#since.get(key)
    if (since === undefined) this.#since.set(key, at)
    if (at - (since ?? at) < CONFIRM_MS) return false
    this.#since.delete(key)
    return true
  }

  /** The platform confirms the object, or it is no longer needed. */
  settled(key: string): void {
    this.#since.delete(key)
  }
}

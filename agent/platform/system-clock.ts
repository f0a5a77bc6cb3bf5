import type { Clock } from '../ports/clock.js'

/** How often the two clocks are compared during sleeps: one timer for all sleepers. */
const COMPARE_EVERY_MS = 5_000
/** A larger difference between the movements of both clocks is a jump. NTP's slewing moves both. */
const JUMP_MS = 2000
/** The limit of setTimeout; longer waits are chained. */
const MAX_TIMER_MS = 2 ** 31 - 1

interface Sleeper {
  /** Wall minus monotonic time when the sleep began. */
  readonly offset: number
  wake(): void
}

/**
 * The real clock. Sleeps keep the process running; the comparison of the clocks, which detects a suspend or a step of NTP
 * within 5 seconds, does not, and runs only during sleeps. A sleep never ends early by rounding, so that loops that wait
 * for a time do not spin.
 */
export class SystemClock implements Clock {
  readonly #sleepers = new Set<Sleeper>()
  readonly #wall: () => number
  #comparison: NodeJS.Timeout | null = null

  /** `wall` is for tests of jumps. */
  constructor(wall: () => number = Date.now) {
    this.#wall = wall
  }

  now(): number {
    return this.#wall()
  }

  monotonic(): number {
    return performance.now()
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    if (Number.isNaN(ms)) throw new TypeError('a sleep needs a number of milliseconds')
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const end = () => {
        timer[Symbol.dispose]()
        signal?.removeEventListener('abort', abort)
        this.#sleepers.delete(sleeper)
        if (this.#sleepers.size === 0) this.#stopComparing()
      }
      const abort = () => {
        end()
        reject(signal?.reason)
      }
      const wake = () => {
        end()
        resolve()
      }
      const sleeper: Sleeper = { offset: this.#offset(), wake }
      const timer = this.after(ms, wake)
      signal?.addEventListener('abort', abort, { once: true })
      this.#sleepers.add(sleeper)
      this.#comparison ??= setInterval(() => this.compare(), COMPARE_EVERY_MS).unref()
    })
  }

  after(ms: number, run: () => void): Disposable {
    const due = this.monotonic() + Math.max(0, ms)
    let timer: NodeJS.Timeout
    const arm = () => {
      const left = due - this.monotonic()
      timer = setTimeout(fire, Math.min(Math.max(1, Math.ceil(left)), MAX_TIMER_MS))
    }
    // Timers may fire a fraction of a millisecond early, and the longest ones are chained.
    const fire = () => (due - this.monotonic() > 0 ? arm() : run())
    arm()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  }

  /** Compares the two clocks and wakes the sleepers for whom the wall clock has jumped. */
  compare(): void {
    const offset = this.#offset()
    for (const sleeper of [...this.#sleepers]) if (Math.abs(offset - sleeper.offset) > JUMP_MS) sleeper.wake()
  }

  #offset(): number {
    return this.#wall() - this.monotonic()
  }

  #stopComparing(): void {
    if (this.#comparison) clearInterval(this.#comparison)
    this.#comparison = null
  }
}

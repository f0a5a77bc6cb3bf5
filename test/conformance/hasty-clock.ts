import { SystemClock } from '../../agent/platform/system-clock.js'
import type { Clock } from '../../agent/ports/clock.js'

/**
 * The real time, but waits take a part of it only: the pace of requests to the server, their intervals and back-offs
 * would make a suite take minutes. The wall clock goes as it does, and can be made to jump.
 */
export class HastyClock implements Clock {
  readonly #real = new SystemClock()
  readonly #sleepers = new Set<() => void>()
  #ahead = 0
  #passed = 0

  constructor(private readonly times: number) {}

  now(): number {
    return this.#real.now() + this.#ahead
  }

  monotonic(): number {
    return this.#real.monotonic() * this.times + this.#passed
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    const woken = new AbortController()
    const wake = () => woken.abort()
    this.#sleepers.add(wake)
    signal?.addEventListener('abort', wake, { once: true })
    try {
      await this.#real.sleep(ms / this.times, woken.signal)
    } catch (error) {
      if (!woken.signal.aborted) throw error
    } finally {
      this.#sleepers.delete(wake)
      signal?.removeEventListener('abort', wake)
    }
    signal?.throwIfAborted()
  }

  after(ms: number, run: () => void): Disposable {
    return this.#real.after(ms / this.times, run)
  }

  /** So much time goes by at once, on both clocks. */
  pass(ms: number): void {
    this.#passed += ms
    this.jump(ms)
  }

  /** As after a suspend: who sleeps wakes and looks at the time. */
  jump(ms: number): void {
    this.#ahead += ms
    for (const wake of [...this.#sleepers]) wake()
  }
}

/** The source of time. Nothing else in the agent reads a clock or sets a timer. */
export interface Clock {
  /** Wall-clock time in milliseconds since 1970 (certificates, entries). It may jump. */
  now(): number
  /** Milliseconds on the monotonic clock, which never jumps (waits, backoff, rates). */
  monotonic(): number
  /**
   * Resolves after `ms` milliseconds, or earlier if the wall clock jumps, so that callers read the time and decide again.
   * Rejects with `signal.reason` when the signal aborts, leaving neither timer nor listener behind.
   */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
  /** Calls `run` once after `ms` milliseconds unless disposed first. */
  after(ms: number, run: () => void): Disposable
}

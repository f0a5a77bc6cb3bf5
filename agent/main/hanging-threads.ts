import type { Clock } from '../ports/clock.js'

/** How long threads that were told to end may take. */
const GRACE_MS = 1_000
const LOOK_MS = 20

/**
 * Disposed last, when everything was told to end: waits a moment for threads to do so, and tells of those that hang in a
 * system call (a dead file system under somebody's executable, the agent's data or its log). Node waits for every thread,
 * so it could not end.
 */
export function afterThreads(threads: () => number, clock: Clock, hang: (threads: number) => void): AsyncDisposable {
  return { [Symbol.asyncDispose]: () => threadsEnd(threads, clock, hang) }
}

export async function threadsEnd(threads: () => number, clock: Clock, hang: (threads: number) => void): Promise<void> {
  const until = clock.monotonic() + GRACE_MS
  while (threads() > 0 && clock.monotonic() < until) await clock.sleep(LOOK_MS)
  if (threads() > 0) hang(threads())
}

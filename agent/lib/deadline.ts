import type { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import { LinkedAbort } from './abort.js'

/** How long something may take, and the error that says that it took longer. */
export interface Deadline {
  readonly ms: number
  readonly late: () => AgentError
}

/** Runs the work with a signal that aborts with the outer one, or at the deadline with its error. */
export async function withDeadline<T>(
  clock: Pick<Clock, 'after'>,
  { ms, late }: Deadline,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  using limited = new LinkedAbort(signal)
  using _timer = clock.after(ms, () => limited.abort(late()))
  return await work(limited.signal)
}

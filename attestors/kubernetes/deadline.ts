import { AgentError } from '../../agent/errors.js'
import { LinkedAbort } from '../../agent/lib/abort.js'
import type { Clock } from '../../agent/ports/clock.js'

/** Runs the work with a signal that aborts with the outer one, or with `platform.unavailable` after `ms`. */
export async function withDeadline<T>(
  clock: Pick<Clock, 'after'>,
  ms: number,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  using limited = new LinkedAbort(signal)
  using _timer = clock.after(ms, () =>
    limited.abort(new AgentError('platform.unavailable', `Kubernetes gave no complete answer within ${ms / 1000} s`)),
  )
  return await work(limited.signal)
}

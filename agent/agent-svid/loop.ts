import { AgentError } from '../errors.js'
import { aborted, LinkedAbort } from '../lib/abort.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'

/** A recurring task; at most one run at a time. */
export interface Duty {
  /** The wall-clock time (ms) of the next run; a past one means now, null means not before a change. */
  nextAt(): number | null
  /** An AgentError is retried; any other error is a defect and ends the loop. */
  run(signal: AbortSignal): Promise<void>
}

export interface AgentSvidLoopOptions {
  readonly clock: Clock
  /** Ends the loop when aborted; runs in progress are awaited. */
  readonly signal: AbortSignal
  readonly duties: readonly Duty[]
  /** Calls `wake` when `nextAt` of a duty may have changed. Absent if only time changes it. */
  onChange?(wake: () => void): Disposable
  /** The wait (ms) after this many consecutive failures of a duty. */
  retryAfterMs(error: AgentError, failures: number): number
}

interface RunningDuty {
  readonly duty: Duty
  run: Promise<void> | null
  failures: number
  /** By the monotonic clock. */
  notBefore: number
}

/** Minimum time between the starts of two runs of a duty, whatever `nextAt` says. */
const SPACING_MS = 1000
/** The longest single timer: Node fires timers of more than 2^31 ms at once. */
const LONGEST_SLEEP_MS = 24 * 60 * 60_000

/**
 * Runs each duty when it is due, until the signal aborts; then it resolves. It reads `nextAt` again after a change, a jump
 * of the wall clock, and the end of a sleep or run. A long run does not delay other duties. Waits after a failure and
 * between runs use the monotonic clock, so that neither a wrong wall clock nor a `nextAt` in the past makes it spin.
 * Rejects only with errors that are not AgentErrors.
 */
export async function runLoop({ clock, signal, duties, onChange, retryAfterMs }: AgentSvidLoopOptions): Promise<void> {
  using stop = new LinkedAbort(signal)
  let wake: () => void = ignore
  let defect: { readonly error: unknown } | null = null
  using _changes = onChange?.(() => wake())
  const all = duties.map((duty): RunningDuty => ({ duty, run: null, failures: 0, notBefore: Number.NEGATIVE_INFINITY }))

  const perform = async (one: RunningDuty): Promise<void> => {
    one.notBefore = clock.monotonic() + SPACING_MS
    try {
      await one.duty.run(stop.signal)
      one.failures = 0
    } catch (error) {
      if (stop.signal.aborted) return
      if (error instanceof AgentError) {
        one.failures++
        one.notBefore = Math.max(one.notBefore, clock.monotonic() + retryAfterMs(error, one.failures))
      } else {
        defect ??= { error }
        stop.abort()
      }
    } finally {
      one.run = null
      wake()
    }
  }

  try {
    while (!stop.signal.aborted) {
      let wait: number | null = null
      for (const one of all) {
        const at = one.run ? null : one.duty.nextAt()
        if (at === null) continue
        const due = Math.max(at - clock.now(), one.notBefore - clock.monotonic())
        if (due <= 0) one.run = perform(one)
        else wait = Math.min(wait ?? due, due)
      }
      await interruptible(clock, wait, stop.signal, (interrupt) => {
        wake = interrupt
      })
    }
  } finally {
    stop.abort()
    await Promise.all(all.map(({ run }) => run))
  }
  if (defect !== null) throw (defect as { readonly error: unknown }).error
}

/** Sleeps for `ms` (null: without end) or until the signal or the interrupt. Leaves neither timer nor listener behind. */
async function interruptible(
  clock: Clock,
  ms: number | null,
  signal: AbortSignal,
  onSleep: (interrupt: () => void) => void,
): Promise<void> {
  using ended = new LinkedAbort(signal)
  onSleep(() => ended.abort())
  try {
    if (ms === null) await aborted(ended.signal)
    else await sleepUnlessAborted(clock, Math.min(ms, LONGEST_SLEEP_MS), ended.signal)
  } finally {
    onSleep(ignore)
  }
}

/** Used while the loop is awake: it reads `nextAt` again before it sleeps. */
function ignore(): void {
  return
}

import { AgentError } from '../errors.js'
import { aborted, LinkedAbort } from '../lib/abort.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'

/** One thing that is done again and again; never twice at once. */
export interface Duty {
  /** The wall-clock moment (ms) of the next run; one in the past means now, null means not before something changes. */
  nextAt(): number | null
  /** An AgentError is retried; anything else is a defect of our own and ends the loop. */
  run(signal: AbortSignal): Promise<void>
}

export interface AgentSvidLoopOptions {
  readonly clock: Clock
  /** Aborting it ends the loop; runs in flight are awaited. */
  readonly signal: AbortSignal
  readonly duties: readonly Duty[]
  /** Says that `nextAt` of a duty may answer differently. Absent where only time changes it. */
  onChange?(wake: () => void): Disposable
  /** How long to wait after so many failures of a duty in a row (ms). */
  retryAfterMs(error: AgentError, failures: number): number
}

interface RunningDuty {
  readonly duty: Duty
  run: Promise<void> | null
  failures: number
  /** By the clock that never jumps. */
  notBefore: number
}

/** Runs of one duty begin at least so far apart, whatever `nextAt` says. */
const SPACING_MS = 1000
/** One timer never runs longer than this: Node fires timers of more than 2^31 ms at once. */
const LONGEST_SLEEP_MS = 24 * 60 * 60_000

/**
 * Runs each duty whenever it is time, until the signal aborts; then it resolves. It decides again after every wake: at
 * a change, at a jump of the wall clock, when a sleep or a run ends. A run that takes long holds up no other duty.
 * Waits after a failure, and between runs, go by the clock that never jumps, so neither a wrong wall clock nor a
 * `nextAt` stuck in the past makes it spin. Rejects only with what is not an AgentError.
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

/** Sleeps (for ever where `ms` is null) until time, the signal or the interrupt ends it. Leaves nothing behind. */
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

/** Nobody sleeps: a change needs no wake, for the loop asks `nextAt` before it sleeps again. */
function ignore(): void {
  return
}

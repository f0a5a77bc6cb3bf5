import { AgentError } from '../errors.js'
import { aborted, LinkedAbort } from '../lib/abort.js'
import { sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'

/** One thing that is kept fresh. */
export interface Keep {
  readonly clock: Clock
  /** Aborting it ends the loop; a run in flight is awaited. */
  readonly signal: AbortSignal
  /** The wall-clock moment (ms) of the next run; one in the past means now, null means not before something changes. */
  nextAt(): number | null
  /** An AgentError is retried; anything else is a defect of our own and ends the loop. */
  run(signal: AbortSignal): Promise<void>
  /** Says that `nextAt` may answer differently. Absent where only time changes it. */
  onChange?(wake: () => void): Disposable
  /** How long to wait after so many failures in a row (ms). */
  retryAfterMs(error: AgentError, failures: number): number
  /** Runs begin at least so far apart, whatever `nextAt` says. Default 1 s. */
  readonly minSpacingMs?: number
}

/** One timer never runs longer than this: Node fires timers of more than 2^31 ms at once. */
const LONGEST_SLEEP_MS = 24 * 60 * 60_000

/**
 * Runs whenever it is time, until the signal aborts; then it resolves. It decides anew after every wake: at a change,
 * at a jump of the wall clock and when a sleep ends. Waits after a failure, and between runs, go by the clock that
 * never jumps, so neither a wrong wall clock nor a `nextAt` stuck in the past makes it spin. Rejects only with what is
 * not an AgentError.
 */
export async function keep(what: Keep): Promise<void> {
  const { clock, signal, minSpacingMs = 1000 } = what
  let wake: () => void = ignore
  const changes = what.onChange?.(() => wake())
  let failures = 0
  let notBefore = Number.NEGATIVE_INFINITY
  try {
    while (!signal.aborted) {
      const at = what.nextAt()
      const wait = at === null ? null : Math.max(at - clock.now(), notBefore - clock.monotonic())
      if (wait === null || wait > 0) {
        await interruptible(clock, wait, signal, (interrupt) => {
          wake = interrupt
        })
        continue
      }
      notBefore = clock.monotonic() + minSpacingMs
      try {
        await what.run(signal)
        failures = 0
      } catch (error) {
        if (signal.aborted) return
        if (!(error instanceof AgentError)) throw error
        failures++
        notBefore = Math.max(notBefore, clock.monotonic() + what.retryAfterMs(error, failures))
      }
    }
  } finally {
    changes?.[Symbol.dispose]()
  }
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

import { AgentError } from '../../agent/errors.js'
import { type Backoff, delay } from '../../agent/lib/backoff.js'
import { sleepUnlessAborted } from '../../agent/lib/sleep.js'
import type { EngineEvents } from '../../agent/observability/engine-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'
import type { Containers } from './containers.js'
import { type EngineApi, isAbsent } from './engine-api.js'

export interface EngineWatch {
  readonly api: Pick<EngineApi, 'events' | 'socketPath'>
  readonly containers: Pick<Containers, 'opened' | 'closed' | 'happened'>
  readonly clock: Clock
  readonly random: Random
  readonly events: EngineEvents
}

/** On average 100 ms to 5 s. The cap is also the longest time until a new socket is found. A failed connect costs some 100 µs. */
const PAUSE: Backoff = { baseMs: 133, capMs: 6_667 }
/** A stream that lasted this long resets the back-off. */
const LASTED_MS = 5_000

/**
 * Follows the engine's events until the signal aborts; reconnects when the engine ends the stream, and when an engine
 * appears.
 */
export async function watchEngine(watch: EngineWatch, signal: AbortSignal): Promise<void> {
  const { clock, random, events } = watch
  let failures = 0
  while (!signal.aborted) {
    const began = clock.monotonic()
    try {
      await hear(watch, signal)
    } catch (error) {
      if (signal.aborted) return
      if (!(error instanceof AgentError)) throw error
      failures = clock.monotonic() - began >= LASTED_MS ? 0 : failures
      events.away(error, isAbsent(error))
    }
    await sleepUnlessAborted(clock, delay(++failures, PAUSE, random.fraction()), signal)
  }
}

/** Never returns: if the engine ends the stream, it throws. */
async function hear({ api, containers, events }: EngineWatch, signal: AbortSignal): Promise<never> {
  const opened = () => {
    events.answers(api.socketPath)
    containers.opened()
  }
  try {
    for await (const event of api.events(opened, signal)) containers.happened(event)
  } finally {
    containers.closed()
  }
  throw new AgentError('platform.unavailable', `the container engine at ${api.socketPath} ended its stream of events`)
}

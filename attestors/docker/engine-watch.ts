import { AgentError } from '../../agent/errors.js'
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

const FIRST_PAUSE_MS = 100
/** Also how long a socket that appears later goes unseen. A connect that finds none costs some 100 µs. */
const LAST_PAUSE_MS = 5_000
/** A stream that lasted so long was a working one. */
const LASTED_MS = 5_000

/**
 * Hears from the engine what happens to containers, until the signal aborts; connects again when the engine went away,
 * and when one appears where there was none.
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
    const pause = Math.min(LAST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** Math.min(failures++, 10))
    await clock.sleep(pause * (0.75 + 0.5 * random.fraction()), signal).catch(() => undefined)
  }
}

/** Returns never: an engine that ends the stream has gone away. */
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

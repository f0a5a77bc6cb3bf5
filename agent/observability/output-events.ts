import type { Clock } from '../ports/clock.js'
import type { Log } from './log.js'
import { sayOnce } from './once.js'

/** Writing bundles to files; a lasting failure is logged once. */
export const outputEvents = (log: Log, clock: Clock) => {
  const writing = sayOnce(log, clock, {
    failing: 'Bundles could not be written to files',
    recovered: 'Bundles can be written to files again',
  })
  return {
    written: (path: string): void => writing.succeeded({ path }),
    failed: (path: string, error: unknown): void => writing.failed(error, { path }),
  }
}

export type OutputEvents = ReturnType<typeof outputEvents>

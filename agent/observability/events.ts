import type { Log } from './log.js'
import type { Metrics } from './metrics.js'
import type { Observer } from './observer.js'

/**
 * The sinks of every event function: one log line, one metric, and observers (an audit log, say), kept together so that
 * they cannot drift apart. Each area has its own file beside this one (`node-events.ts`, `sync-events.ts`, …) with one
 * function per thing that happens: `export const nodeEvents = ({ log, metrics }: Sinks) => ({ attested(…) {…}, … })` and
 * `export type NodeEvents = ReturnType<typeof nodeEvents>`.
 */
export interface Sinks {
  readonly log: Log
  readonly metrics: Metrics
  /** Sinks that take values; mostly none. */
  readonly observers: readonly Observer[]
}

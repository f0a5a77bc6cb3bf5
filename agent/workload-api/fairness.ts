import type { RateEvents } from '../observability/rate-events.js'
import type { FairQueue } from './fair-queue.js'
import type { Rates } from './rates.js'

/** What keeps callers from taking the agent from one another; the socket and the calls on it share one. */
export interface Fairness {
  readonly rates: Rates
  readonly queue: FairQueue
  readonly events: RateEvents
}

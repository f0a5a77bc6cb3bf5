import type { RateEvents } from '../observability/rate-events.js'
import type { FairQueue } from './fair-queue.js'
import type { Rates } from './rates.js'

/** Rates and fair queue, which keep one subject from starving others; the listener and the call gate share them. */
export interface Fairness {
  readonly rates: Rates
  readonly queue: FairQueue
  readonly events: RateEvents
}

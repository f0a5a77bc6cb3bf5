import { rateEvents } from '../../agent/observability/rate-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import { FairQueue } from '../../agent/workload-api/fair-queue.js'
import type { Fairness } from '../../agent/workload-api/fairness.js'
import { type RateLimits, Rates } from '../../agent/workload-api/rates.js'
import { RecordedSinks } from './sinks.js'

const PLENTY = { perSecond: 1_000_000, burst: 1_000_000 }

/** Rates that nobody reaches, unless told otherwise. */
export function fairnessWith(
  clock: Pick<Clock, 'monotonic'>,
  limits: Partial<RateLimits> = {},
  sinks = new RecordedSinks(),
): Fairness {
  return {
    rates: new Rates({ connections: PLENTY, calls: PLENTY, ...limits }, clock),
    queue: new FairQueue(clock, { burst: 10_000 }),
    events: rateEvents(sinks, clock),
  }
}

/** The account of a subject that is nobody else's. */
export function accountOf(fairness: Fairness, subject = 'uid:1', process = '1:7') {
  return { account: fairness.rates.account(subject, process), quota: { subject, pid: 7 } }
}

import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { Sparingly } from './sparingly.js'

/** A caller above its rate. */
export interface TurnedAway {
  /** Which rate is exceeded; the label of the metrics. */
  readonly reason: string
  readonly subject: string
  readonly pid: number | null
}

/** What happens to callers above their rate. */
export const rateEvents = ({ log, metrics }: Sinks, clock: Pick<Clock, 'monotonic'>) => {
  const sparingly = new Sparingly(clock)
  const say = (what: 'connections' | 'calls', { reason, subject, pid }: TurnedAway): void => {
    const suppressed = sparingly.say(`${subject} ${what} ${reason}`)
    if (suppressed === null) return
    log.warn('Caller turned away: it connects or calls too often', {
      what,
      reason,
      subject,
      pid,
      ...(suppressed ? { suppressed } : {}),
    })
  }
  return {
    /** A connection was closed before anything else was done for it. */
    connection(away: TurnedAway): void {
      metrics.count('icp_agent_connections_refused_total', { reason: away.reason })
      say('connections', away)
    },
    /** A call above its rate; its connection is closed with all its calls, or only the call ends (`unfinished`). */
    call(away: TurnedAway): void {
      metrics.count('icp_agent_calls_turned_away_total', { reason: away.reason })
      say('calls', away)
    },
  }
}

export type RateEvents = ReturnType<typeof rateEvents>

import type { Clock } from '../ports/clock.js'
import type { Method } from './api-events.js'
import type { Sinks } from './events.js'
import type { CallerIds } from './observer.js'
import { Sparingly } from './sparingly.js'

/** The client writes the reason of a rejection, so its length is bounded. */
const MAX_REASON_CHARACTERS = 500
const MAX_NAMES = 10

/** Events of the Secret Discovery Service only; those of every stream are in `api-events.ts`. */
export const sdsEvents = ({ log, metrics }: Sinks, clock: Pick<Clock, 'monotonic'>) => {
  const sparingly = new Sparingly(clock)
  return {
    /** Envoy keeps the secret that it has. */
    rejected(
      method: Method,
      { pid, uid }: CallerIds,
      { names, code, message }: { readonly names: readonly string[]; readonly code: number; readonly message: string },
    ): void {
      metrics.count('icp_agent_sds_rejected_total', { method })
      const suppressed = sparingly.say(`${uid} rejected`)
      log.at(suppressed === null ? 'debug' : 'error', 'SDS client rejected secrets', {
        method,
        pid,
        uid,
        names: names.slice(0, MAX_NAMES),
        code,
        reason: message.slice(0, MAX_REASON_CHARACTERS),
        ...(suppressed ? { suppressed } : {}),
      })
    },
    /** No entry and no bundle can ever answer this name. */
    cannotServe(method: Method, { pid, uid }: CallerIds, name: string, reason: string): void {
      const suppressed = sparingly.say(`${uid} name`)
      log.at(suppressed === null ? 'debug' : 'warn', 'SDS client requests a name that can never be served', {
        method,
        pid,
        uid,
        name: name.slice(0, MAX_REASON_CHARACTERS),
        reason,
        ...(suppressed ? { suppressed } : {}),
      })
    },
  }
}

export type SdsEvents = ReturnType<typeof sdsEvents>

import type { Clock } from '../ports/clock.js'
import type { Method } from './api-events.js'
import type { Sinks } from './events.js'
import type { CallerIds } from './observer.js'
import { Sparingly } from './sparingly.js'

/** The text of a rejection is the client's. */
const MAX_REASON_CHARACTERS = 500
const MAX_NAMES = 10

/** What happens on the Secret Discovery Service beside what happens on every stream. */
export const sdsEvents = ({ log, metrics }: Sinks, clock: Pick<Clock, 'monotonic'>) => {
  const sparingly = new Sparingly(clock)
  return {
    /** Envoy goes on with the secret that it has. */
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
    /** No entry and no bundle ever answers this name. */
    cannotServe(method: Method, { pid, uid }: CallerIds, name: string, reason: string): void {
      const suppressed = sparingly.say(`${uid} name`)
      log.at(suppressed === null ? 'debug' : 'warn', 'SDS client asks for a secret that there cannot be', {
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

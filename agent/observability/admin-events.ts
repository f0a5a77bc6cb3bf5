import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import type { AdminIds } from './observer.js'
import { Sparingly } from './sparingly.js'

/** What happens on the admin socket. */
export const adminEvents = ({ log, metrics, observers }: Sinks, clock: Pick<Clock, 'monotonic'>) => {
  const sparingly = new Sparingly(clock)
  return {
    opened(path: string): void {
      log.info('Admin socket started', { path })
    },
    unavailable(error: unknown): void {
      log.error('Admin socket could not start; the agent goes on without it', { error })
    },
    notRemoved(error: unknown): void {
      log.debug('Admin socket could not be removed', { error })
    },
    /** Once a connection. */
    connected(ids: AdminIds): void {
      log.debug('Administrator connected', { pid: ids.pid, uid: ids.uid })
      for (const observer of observers) observer.adminConnected?.(ids)
    },
    /** The peer is neither root nor the agent's user; null: the kernel does not name it. */
    refused(ids: AdminIds | null): void {
      metrics.count('icp_agent_admin_connections_refused_total', { reason: 'user' })
      const suppressed = sparingly.say(`${ids?.uid}`)
      if (suppressed === null) return
      log.warn('Connection to the admin socket refused: neither root nor the user of the agent', {
        pid: ids?.pid ?? null,
        uid: ids?.uid ?? null,
        ...(suppressed > 0 ? { suppressed } : {}),
      })
    },
    tooMany(): void {
      metrics.count('icp_agent_admin_connections_refused_total', { reason: 'limit' })
    },
    answered(route: string, status: number): void {
      metrics.count('icp_agent_admin_requests_total', { route, code: String(status) })
    },
    failed(route: string, error: unknown): void {
      log.error('Admin request failed', { route, error })
    },
  }
}

export type AdminEvents = ReturnType<typeof adminEvents>

import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce, type Trouble } from './once.js'

/** What happens to the audit log itself. */
export const auditEvents = ({ log, metrics }: Sinks, clock: Clock) => {
  const writing = sayOnce(log, clock, {
    failing: 'Audit log cannot be written',
    recovered: 'Audit log can be written again',
  })
  return {
    recorded(type: string, bytes: number): void {
      metrics.count('icp_agent_audit_records_total', { type })
      metrics.count('icp_agent_audit_bytes_total', bytes)
    },
    lost(records: number): void {
      metrics.count('icp_agent_audit_lost_total', records)
    },
    failed(error: unknown): void {
      writing.failed(error)
    },
    written(): void {
      writing.succeeded()
    },
    get trouble(): Trouble | null {
      return writing.trouble
    },
  }
}

export type AuditEvents = ReturnType<typeof auditEvents>

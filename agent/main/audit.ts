import { AuditLog } from '../audit/audit-log.js'
import type { Config } from '../config/config.js'
import { auditEvents } from '../observability/audit-events.js'
import { AuditFile } from '../platform/audit-file.js'
import { auditToStdout } from '../platform/audit-stdout.js'
import { AuditSyslog, SYSLOG_SOCKET } from '../platform/audit-syslog.js'
import type { World } from './world.js'

/** How long what waits may take to be written when the agent ends. */
const END_MS = 2_000

/** The audit log that is configured, with its events; null: none is. Nothing is opened yet. */
export function auditOf({ audit, agent }: Config, { clock, log, metrics, stdout }: World) {
  if (audit.path === null) return null
  const events = auditEvents({ log: log.named('audit'), metrics, observers: [] }, clock)
  const target =
    audit.path === 'stdout'
      ? auditToStdout(stdout)
      : audit.path === SYSLOG_SOCKET
        ? new AuditSyslog({ pid: process.pid, clock })
        : new AuditFile(audit.path)
  const auditLog = new AuditLog({
    target,
    clock,
    events,
    nodeId: agent.nodeId,
    get failClosed() {
      return audit.failClosed
    },
  })
  return { log: auditLog, events }
}

export type Audit = NonNullable<ReturnType<typeof auditOf>>

/** Ends it when disposed: what waits is written, if that does not take long. */
export function endOfAudit(audit: Audit | null, clock: World['clock']): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: async () => {
      if (audit === null) return
      const late = new AbortController()
      await Promise.race([audit.log.end(), clock.sleep(END_MS, late.signal).catch(() => undefined)])
      late.abort()
    },
  }
}

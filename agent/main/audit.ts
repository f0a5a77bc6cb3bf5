import { AuditLog } from '../audit/audit-log.js'
import type { Config } from '../config/config.js'
import { atMost } from '../lib/sleep.js'
import { auditEvents } from '../observability/audit-events.js'
import { AuditFile } from '../platform/audit-file.js'
import { auditToStdout } from '../platform/audit-stdout.js'
import { AuditSyslog, SYSLOG_SOCKET } from '../platform/audit-syslog.js'
import type { AuditTarget } from '../ports/audit-target.js'
import type { Reloadable } from './reload.js'
import type { World } from './world.js'

/** How long writing the waiting records may take when the agent ends. */
const END_MS = 2_000

/** The audit log with its events and its reload. Opens nothing yet. */
export function auditOf({ audit, agent }: Config, world: Pick<World, 'clock' | 'log' | 'metrics' | 'stdout'>) {
  const { clock, log, metrics } = world
  const events = auditEvents({ log: log.named('audit'), metrics, observers: [] }, clock)
  let { path } = audit
  const auditLog = new AuditLog({
    target: targetOf(path, world),
    clock,
    events,
    nodeId: agent.nodeId,
    get failClosed() {
      return audit.failClosed
    },
  })
  const reloadable: Reloadable = {
    setting: 'audit.path',
    prepare: (after) => {
      if (after.audit.path === path) return null
      const target = targetOf(after.audit.path, world)
      target?.reopen()
      let unused = target
      if (target?.failure) throw target.failure
      return {
        commit: () => {
          unused = null
          path = after.audit.path
          auditLog.moveTo(target)
        },
        [Symbol.dispose]: () => void unused?.end(),
      }
    },
  }
  return {
    log: auditLog,
    events,
    reloadable,
    /** Null: there is none. */
    get path() {
      return path
    },
  }
}

function targetOf(path: string | null, { clock, stdout }: Pick<World, 'clock' | 'stdout'>): AuditTarget | null {
  if (path === null) return null
  if (path === 'stdout') return auditToStdout(stdout)
  return path === SYSLOG_SOCKET ? new AuditSyslog({ pid: process.pid, clock }) : new AuditFile(path)
}

export type Audit = ReturnType<typeof auditOf>

/** Ends the audit log at disposal, and writes waiting records if that does not take long. */
export function endOfAudit(audit: Audit, clock: World['clock']): AsyncDisposable {
  return {
    [Symbol.asyncDispose]: () => atMost(clock, END_MS, audit.log.end()),
  }
}

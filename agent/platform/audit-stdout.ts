import type { AuditTarget } from '../ports/audit-target.js'
import { AUDIT_BUFFER } from './audit-file.js'
import type { LineTaker } from './pino-log.js'

/** Writes records through the sink of the log on standard output, so that lines are not mixed. */
export function auditToStdout(stdout: LineTaker): AuditTarget {
  return {
    write: (line) => stdout.write(line, AUDIT_BUFFER),
    get waiting() {
      return stdout.waiting
    },
    get failure() {
      return stdout.failure
    },
    retry: () => stdout.retry(),
    reopen() {},
    // The log, which ends later, writes the waiting lines.
    end: () => Promise.resolve(0),
    writing: false,
  }
}

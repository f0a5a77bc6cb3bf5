import type { AuditTarget } from '../ports/audit-target.js'
import { AUDIT_BUFFER } from './audit-file.js'
import type { LineTaker } from './pino-log.js'

/** Records among the lines of the log on standard output, through its sink, so that no line breaks another. */
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
    // The log ends later, and writes what waits.
    end: () => Promise.resolve(0),
    writing: false,
  }
}

import { ChangeLog } from '../admin/changes.js'
import { DenialLog } from '../admin/denials.js'
import type { Observer } from '../observability/observer.js'
import type { Clock } from '../ports/clock.js'

/** Records kept from the start for the admin socket; bounded. */
export interface AdminRecords {
  readonly denials: DenialLog
  readonly changes: ChangeLog
  readonly observers: readonly Observer[]
}

export function adminRecords(clock: Clock): AdminRecords {
  const denials = new DenialLog(clock)
  const changes = new ChangeLog(clock)
  return { denials, changes, observers: [denials.observer, changes.observer] }
}

import type { ChangeLog } from '../admin/changes.js'
import { componentsOf, type HealthInput } from '../observability/health.js'

/** Records changes of health between two polls: the status of a component, a platform that appears or disappears. */
export function healthChanges(changes: Pick<ChangeLog, 'add'>): (input: HealthInput) => void {
  const components = new Map<string, string>()
  const platforms = new Map<string, boolean>()
  return (input) => {
    for (const [name, { status, message }] of Object.entries(componentsOf(input))) {
      const before = components.get(name)
      components.set(name, status)
      // The end of the start is not recorded.
      if (before === undefined || before === status || (before === 'starting' && status === 'healthy')) continue
      changes.add('health', `${name} is ${status}: ${message}`, name)
    }
    for (const { name, active, reason } of input.attestors) {
      const before = platforms.get(name)
      platforms.set(name, active)
      if (before !== undefined && before !== active) {
        changes.add('platform', `${name} is ${active ? 'on' : 'off'}: ${reason}`, name)
      }
    }
  }
}

import type { ChangeLog } from '../admin/changes.js'
import { componentsOf, type HealthInput } from '../observability/health.js'

/** Notes what changes in health from one look to the next: the status of a component, a platform that comes or goes. */
export function healthChanges(changes: Pick<ChangeLog, 'add'>): (input: HealthInput) => void {
  const components = new Map<string, string>()
  const platforms = new Map<string, boolean>()
  return (input) => {
    for (const [name, { status, message }] of Object.entries(componentsOf(input))) {
      const before = components.get(name)
      components.set(name, status)
      // That the start comes to its end is no news.
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

import type { HealthInput } from '../observability/health.js'
import type { Clock } from '../ports/clock.js'
import type { ServiceManager } from '../ports/service-manager.js'
import { type AgentRun, healthInput } from './health-input.js'
import { count } from './terminal/count.js'

const STATUS_EVERY_MS = 5_000
/** Shorter interval after the start, when an administrator is probably watching. */
const STARTING_EVERY_MS = 500

/**
 * Keeps the service manager informed: a status line when it changes, and watchdog notifications if it wants them. `looked`
 * gets the input of health each time.
 */
export async function reportToServiceManager(
  run: AgentRun,
  { serviceManager, clock }: { readonly serviceManager: ServiceManager; readonly clock: Clock },
  signal: AbortSignal,
  looked: (health: HealthInput) => void = () => undefined,
): Promise<void> {
  const every = Math.min(STATUS_EVERY_MS, (serviceManager.watchdogMs ?? Number.POSITIVE_INFINITY) / 2)
  let said = ''
  for (;;) {
    // A stuck event loop does not send the watchdog notification.
    if (serviceManager.watchdogMs !== null) serviceManager.alive()
    const health = healthInput(run)
    looked(health)
    const status = statusLine(health)
    if (status !== said) serviceManager.status(status)
    said = status
    await clock.sleep(run.agent.entrySync.lastAt === null ? Math.min(every, STARTING_EVERY_MS) : every, signal)
  }
}

/** `12 entries known, 3 SVIDs held`, or the problem. */
export function statusLine({ agentSvid, icpService, entries, validSvids, sync }: HealthInput): string {
  const known = Object.values(entries.byState).reduce((sum, count) => sum + count, 0)
  const serving = `${count(known, 'entry', 'entries')} known, ${count(validSvids, 'SVID')} held`
  const trouble = agentSvid.trouble ?? icpService.trouble
  if (trouble) return `degraded (${trouble.code}: ${trouble.message}); ${serving}`
  return sync.lastSuccessAt === null ? 'starting' : serving
}

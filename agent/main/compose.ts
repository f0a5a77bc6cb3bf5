import { join } from 'node:path'
import { auditOf } from './audit.js'
import { composeRequestFlow } from './compose-request-flow.js'
import { composeServerFlow } from './compose-server-flow.js'
import type { LiveConfig } from './live-config.js'
import type { World } from './world.js'

export type Agent = ReturnType<typeof compose>

/** Builds the object graph once: two flows that meet in the store. Nothing runs yet. */
export function compose(live: LiveConfig, world: World) {
  const { config } = live
  const audit = auditOf(config, world)
  const observed = { ...world, observers: [...(world.observers ?? []), audit.log] }
  const server = composeServerFlow(live, observed)
  const request = composeRequestFlow(live, observed, server, audit.log)
  return {
    live,
    config,
    observers: observed.observers,
    clock: world.clock,
    kernel: world.kernel,
    audit,
    lockPath: join(config.agent.dataDir, 'agent.lock'),
    ...server,
    ...request,
    /** Parts that a reload must prepare; others read their settings when they need them. */
    reloadables: [server.extraRoots.reloadable, server.attesting.reloadable, request.reloadable, audit.reloadable],
  }
}

import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { auditOf } from './audit.js'
import { composeRequestFlow } from './compose-request-flow.js'
import { composeServerFlow } from './compose-server-flow.js'
import type { World } from './world.js'

export type Agent = ReturnType<typeof compose>

/** The object graph, built once: two flows that meet in the store. Nothing runs yet. */
export function compose(config: Config, world: World) {
  const audit = auditOf(config, world)
  const observed = { ...world, observers: [...(world.observers ?? []), ...(audit ? [audit.log] : [])] }
  const server = composeServerFlow(config, observed)
  const request = composeRequestFlow(config, observed, server, audit?.log ?? null)
  return {
    config,
    clock: world.clock,
    kernel: world.kernel,
    audit,
    lockPath: join(config.agent.dataDir, 'agent.lock'),
    ...server,
    ...request,
  }
}

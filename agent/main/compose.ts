import { join } from 'node:path'
import type { Config } from '../config/config.js'
import { composeRequestFlow } from './compose-request-flow.js'
import { composeServerFlow } from './compose-server-flow.js'
import type { World } from './world.js'

export type Agent = ReturnType<typeof compose>

/** The object graph, built once: two flows that meet in the store. Nothing runs yet. */
export function compose(config: Config, world: World) {
  const server = composeServerFlow(config, world)
  const request = composeRequestFlow(config, world, server)
  return {
    config,
    clock: world.clock,
    kernel: world.kernel,
    lockPath: join(config.agent.dataDir, 'agent.lock'),
    ...server,
    ...request,
  }
}

import type { AdminApp } from '../admin/app.js'
import { messageOf } from '../errors.js'
import { type AdminEvents, adminEvents } from '../observability/admin-events.js'
import { self } from '../platform/directory.js'
import { type PrivateHttp, servePrivately } from '../platform/private-http.js'
import type { Kernel } from '../ports/kernel.js'
import { descriptorOf } from '../workload-api/connection.js'
import type { AdminRecords } from './admin-records.js'
import { holdAdminPlace } from './admin-socket-path.js'
import { adminSources } from './admin-sources.js'
import type { Reloading } from './compose-reload.js'
import type { DaemonWorld } from './daemon.js'
import type { AgentRun } from './health-input.js'

/** Far more than people and scripts need concurrently. */
const MAX_CONNECTIONS = 16

/**
 * Opens the admin socket. If that fails, health and log report it and the agent serves, because identities matter more than
 * administration.
 */
export async function openAdminSocket(
  run: AgentRun,
  records: AdminRecords,
  reloads: Reloading,
  world: DaemonWorld,
): Promise<AsyncDisposable | null> {
  const { log, metrics, observers = [], clock } = world
  const events = adminEvents({ log: log.named('admin'), metrics, observers }, clock)
  const { agent } = run.agent.config
  const path = agent.adminSocketPath
  let place: Disposable | null = null
  try {
    place = holdAdminPlace(agent)
    const load = once(() => loadApp(run, records, reloads, world, events))
    const server = await servePrivately({
      path,
      maxConnections: MAX_CONNECTIONS,
      admit: (socket) => admit(world.kernel, descriptorOf(socket), events),
      onExcess: () => events.tooMany(),
      onRequest: (request, response) => {
        load().then(
          (app) => app.routing(request, response),
          (error: unknown) => {
            events.failed('none', error)
            response.destroy()
          },
        )
      },
    })
    events.opened(path)
    const gauge = metrics.gauge('icp_agent_admin_connections', () => [{ value: server.connections }])
    return closing(path, server, [gauge, ...(place ? [place] : [])], world, events)
  } catch (error) {
    place?.[Symbol.dispose]()
    events.unavailable(error)
    run.adminTrouble = { message: `the admin socket cannot be opened: ${messageOf(error)}`, since: clock.now() }
    return null
  }
}

async function loadApp(
  run: AgentRun,
  records: AdminRecords,
  reloads: Reloading,
  world: DaemonWorld,
  events: AdminEvents,
): Promise<AdminApp> {
  const { adminApp } = await import('../admin/app.js')
  return await adminApp(adminSources(run, records, reloads, world), events)
}

/** Admits root and the agent's own user, by the peer's ids at connect(). */
function admit(kernel: Pick<Kernel, 'idsOf'>, fd: number | null, events: AdminEvents): boolean {
  const ids = fd === null ? null : kernel.idsOf(fd)
  const admitted = ids !== null && (ids.uid === 0 || ids.uid === self().uid)
  if (admitted) events.connected(ids)
  else events.refused(ids)
  return admitted
}

function closing(
  path: string,
  server: PrivateHttp,
  held: readonly Disposable[],
  { files }: Pick<DaemonWorld, 'files'>,
  events: AdminEvents,
): AsyncDisposable {
  return {
    async [Symbol.asyncDispose]() {
      try {
        await files.remove(path)
        await server[Symbol.asyncDispose]()
      } catch (error) {
        // The disk hangs or fails, and closing would wait for it. The next run replaces the socket.
        events.notRemoved(error)
        server.abandon()
      }
      for (const one of held) one[Symbol.dispose]()
    },
  }
}

/** Runs once and shares the result; a failure is retried at the next call. */
function once<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | null = null
  return () => {
    running ??= run().catch((error: unknown) => {
      running = null
      throw error
    })
    return running
  }
}

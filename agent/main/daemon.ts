import { setMaxListeners } from 'node:events'
import { basename, dirname } from 'node:path'
import type { Config } from '../config/config.js'
import { AgentError } from '../errors.js'
import { aborted } from '../lib/abort.js'
import type { Log } from '../observability/log.js'
import { holdLock } from '../platform/file-lock.js'
import type { AgentLog } from '../platform/pino-log.js'
import type { AgentMetrics } from '../platform/prom-metrics.js'
import type { ServiceManager } from '../ports/service-manager.js'
import { runSync } from '../svids/loop.js'
import { adminRecords } from './admin-records.js'
import { openAdminSocket } from './admin-socket.js'
import { endOfAudit } from './audit.js'
import { keepBundleFiles } from './bundle-files.js'
import { type Agent, compose } from './compose.js'
import { type ConfigurationWorld, reloading } from './compose-reload.js'
import { openDataDirectory } from './data-directory.js'
import { DiskProbe } from './disk-probe.js'
import { gauges } from './gauges.js'
import { afterThreads } from './hanging-threads.js'
import { healthChanges } from './health-changes.js'
import type { AgentRun } from './health-input.js'
import { openHealthServer, openHealthSocket } from './health-server.js'
import { LiveConfig } from './live-config.js'
import { restoreCache } from './sealed-cache.js'
import { reportToServiceManager } from './service-status.js'
import { agentVersion } from './version.js'
import type { World } from './world.js'

export interface DaemonWorld extends World, ConfigurationWorld {
  readonly metrics: AgentMetrics
  /** The log, with its latest lines. */
  readonly log: Log & Pick<AgentLog, 'recent'>
  /** A listening socket of systemd; null: the agent creates its own. */
  readonly inheritedSocket: number | null
  readonly serviceManager: ServiceManager
  /** Number of threads that hang in a system call of a disk, or write the log. */
  readonly hangingFiles: () => number
  /** Called last if threads hang in a system call, so that Node cannot end the process. */
  readonly threadsHang: (threads: number) => void
}

/**
 * Runs the agent: first the probes (a node that cannot attest must report it), then the socket, then the keepers of the
 * agent SVID and of workloads' SVIDs. Resolves when the signal has aborted and everything has ended; rejects if it cannot
 * start, or on a defect.
 */
export async function runDaemon(atStart: Config, world: DaemonWorld, signal: AbortSignal): Promise<void> {
  const { clock, log } = world
  const records = adminRecords(clock)
  const live = new LiveConfig(atStart)
  const { config } = live
  const agent = compose(live, { ...world, observers: [...(world.observers ?? []), ...records.observers] })
  using _changes = records.changes.follow(agent.store)
  const startedAt = clock.now()
  const startedMonotonic = clock.monotonic()
  const run: AgentRun = {
    agent,
    startedAt,
    startedMonotonic,
    node: world.node,
    signal,
    inPod: world.inPod,
    cacheTrouble: null,
    disk: new DiskProbe(config.agent.dataDir, world),
    adminTrouble: null,
    reload: { trouble: null },
  }
  using reloads = reloading(agent, world, signal)
  run.reload = reloads.events
  using _figures = gauges(agent, world)
  await using _http = agent.http
  await using _keys = agent.keys
  await using _threads = afterThreads(
    () => agent.attestors.threads + world.hangingFiles() + Number(agent.audit.log.writing),
    clock,
    world.threadsHang,
  )
  using _attestors = agent.attestors
  using _workloads = agent.workloads

  await openDataDirectory(config, world)
  using lock = holdLock(agent.lockPath)
  await using _audit = endOfAudit(agent.audit, clock)
  using _rotated = world.rotated.subscribe(() => agent.audit.log.reopen())
  agent.audit.log.start({ version: agentVersion(), tenant_id: config.agent.tenantId })
  await using _admin = await openAdminSocket(run, records, reloads, world)
  await using _health = await openHealthServer(run, world)
  await using _healthSocket = await openHealthSocket(run, world)
  await warnOfOthersTokens(agent.config, world)
  warnOfFewOpenFiles(agent, log)
  await agent.extraRoots.look()
  await agent.keeper.restore()
  const cache = await restoreCache(agent, world)
  run.cacheTrouble = cache.events.trouble
  await using listener = agent.listener
  await agent.listen(world.inheritedSocket)
  using _startup = whenServing(agent, log)
  world.serviceManager.ready()

  const failure = new AbortController()
  const stop = AbortSignal.any([signal, failure.signal])
  setMaxListeners(0, stop)
  const keepers = [
    agent.keeper.run(stop, agent.limiter),
    agent.extraRoots.run(agent.reachability, stop),
    reportToServiceManager(run, world, stop, healthChanges(records.changes)),
    cache.run(stop),
    keepBundleFiles(agent, world, stop),
    reloads.watch(stop),
    run.disk.run(lock, stop),
    listener.watch(stop),
    agent.audit.log.run(stop),
    agent.attestors.run(stop),
    agent.jwtSvids.run(() => agent.keeper.current()?.spiffeId ?? null, stop),
    runSync(
      {
        ...agent,
        random: world.random,
        agent: () => agent.keeper.current()?.spiffeId ?? null,
        onAgent: (changed) => agent.keeper.subscribe(changed),
        sync: config.sync,
        onSettings: (changed) => live.subscribe(() => changed()),
      },
      stop,
    ),
  ].map((keeper) =>
    keeper.catch((error: unknown) => {
      if (stop.aborted) return
      failure.abort(error)
    }),
  )
  await aborted(stop)
  world.serviceManager.stopping()
  log.info('Agent is stopping')
  listener.stop()
  await agent.grpc.stop()
  await Promise.all(keepers)
  if (failure.signal.aborted) {
    // Keepers survive every AgentError (agent/agent-svid/loop.ts), so only a defect ends one.
    throw new AgentError('internal', 'a part of the agent failed', { cause: failure.signal.reason })
  }
}

/** Warns of a Secret with the tokens of all nodes, which is for the roll-out only: an attacker on one node could join as another. */
async function warnOfOthersTokens({ agent }: Config, { files, log }: DaemonWorld): Promise<void> {
  // With one file per node, named after it, other files are those of other nodes.
  if (agent.joinTokenPath === null || basename(agent.joinTokenPath) !== agent.nodeId) return
  const names = await files.list(dirname(agent.joinTokenPath))
  const others = names.filter((name) => !name.startsWith('..') && name !== agent.nodeId)
  if (others.length === 0) return
  log.warn('The agent can read the join tokens of other nodes; delete their Secret once every node has joined', {
    directory: dirname(agent.joinTokenPath),
    others: others.length,
  })
}

/** Limits connections by the available descriptors, so that callers never use the last one. */
function warnOfFewOpenFiles(agent: Agent, log: Log): void {
  const openFiles = agent.openFiles()
  if (!openFiles.short) return
  log.warn('The limit of open files is too low for the configured connections', {
    limit: openFiles.limit,
    connections: openFiles.connections,
    configured: agent.config.workloadApi.limits.connections,
    remedy: 'raise the limit of open files (LimitNOFILE=65536, ulimit -n), or lower workload_api.limits.connections',
  })
}

/** Logs once that the agent serves: the socket listens and the entries are known. */
function whenServing(agent: Agent, log: Log): Disposable {
  let said = false
  const look = () => {
    if (said || !agent.store.current.synced) return
    said = true
    const { nodeId, tenantId } = agent.config.agent
    log.info('Agent startup completed successfully', { node_id: nodeId, tenant_id: tenantId, version: agentVersion() })
  }
  const watch = agent.store.watch(look)
  look()
  return watch
}

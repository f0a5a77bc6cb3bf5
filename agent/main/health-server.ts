import type { HealthSource } from '../observability/health-routes.js'
import { startHealthServer, startHealthSocket } from '../observability/http-server.js'
import type { Log } from '../observability/log.js'
import { MetricsToken } from '../observability/metrics-token.js'
import { listenPrivately } from '../platform/private-socket.js'
import type { AgentMetrics } from '../platform/prom-metrics.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import { type AgentRun, healthInput } from './health-input.js'
import { healthSocketPath } from './health-socket-path.js'
import { healthTls } from './health-tls.js'
import { agentVersion } from './version.js'

interface HealthWorld {
  readonly clock: Clock
  readonly log: Log
  readonly files: Pick<Files, 'read' | 'remove'>
  readonly metrics: AgentMetrics
}

/** Health at its port. If it cannot be opened, that is logged and the agent serves, because identities matter more than probes. */
export async function openHealthServer(run: AgentRun, world: HealthWorld): Promise<AsyncDisposable | null> {
  const { agent } = run
  const { bindAddress, port, enabled } = agent.config.health
  if (!enabled) return null
  const { log } = world
  try {
    const server = await startHealthServer({
      ...sourceOf(run, world),
      ...{ bindAddress, port, tls: healthTls(agent, world), metricsToken: metricsToken(agent, world) },
    })
    log.info('Health server started', { bind_address: bindAddress, port: server.port })
    return server
  } catch (error) {
    log.error('Health server could not start; the agent goes on without it', { error })
    return null
  }
}

/** The same on its Unix socket, which clients on the network cannot flood. */
export async function openHealthSocket(run: AgentRun, world: HealthWorld): Promise<AsyncDisposable | null> {
  const { agent, health } = run.agent.config
  if (!health.enabled) return null
  const { log, files } = world
  const place = healthSocketPath(agent)
  if ('reason' in place) {
    log.warn('Health is not served on a Unix socket', { reason: place.reason })
    return null
  }
  try {
    const server = await startHealthSocket({ ...sourceOf(run, world), path: place.path, listen: listenPrivately })
    log.info('Health socket started', { path: place.path })
    return {
      async [Symbol.asyncDispose]() {
        try {
          await files.remove(place.path)
        } catch (error) {
          // The disk hangs or fails, and closing would wait for it. The next run replaces the socket.
          log.debug('Health socket could not be removed', { error })
          server.abandon()
          return
        }
        await server[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    log.error('Health socket could not start; the agent goes on without it', { error })
    return null
  }
}

/** Only for the port: the Unix socket is reachable for the agent's user and root only. */
function metricsToken(agent: AgentRun['agent'], { files, clock }: HealthWorld): MetricsToken | null {
  const path = agent.config.metrics.bearerTokenPath
  if (path === null) return null
  return new MetricsToken({ path, files, clock, recurring: agent.rereadFiles.file(path, 'metrics.bearer_token_path') })
}

function sourceOf(run: AgentRun, { log, metrics, clock }: HealthWorld): HealthSource {
  const { tenantId, nodeId } = run.agent.config.agent
  return {
    input: () => healthInput(run),
    metrics,
    version: agentVersion(),
    agent: { tenantId, nodeId },
    clock,
    log: log.named('health'),
  }
}

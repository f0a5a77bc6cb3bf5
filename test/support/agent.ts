import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '../../agent/config/load.js'
import { Signal } from '../../agent/lib/signal.js'
import { type DaemonWorld, runDaemon } from '../../agent/main/daemon.js'
import { HangUps } from '../../agent/main/hang-ups.js'
import { withTelemetry } from '../../agent/main/telemetry.js'
import { Disk } from '../../agent/platform/disk.js'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { createLog } from '../../agent/platform/pino-log.js'
import { createMetrics } from '../../agent/platform/prom-metrics.js'
import { serviceManager } from '../../agent/platform/service-manager.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import { systemRandom } from '../../agent/platform/system-random.js'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import type { DevIcpOptions } from '../../dev/icp-server/options.js'
import { startDevIcp } from '../../dev/icp-server/server.js'

export const TENANT = '11111111-2222-4333-8444-555555555555'
export const ADMIN_TOKEN = 'administrator-of-the-test'

/** A directory that is removed when disposed; its path is short enough for a socket. */
export async function temporaryDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), 'icp-'))
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) }
}

/** The embedded ICP server without rate limits, unless told otherwise. */
export async function startServer(dataDir: string, options: Partial<DevIcpOptions> = {}): Promise<DevIcp> {
  return await startDevIcp({
    clock: new SystemClock(),
    files: new Disk(),
    dataDir,
    tenantId: TENANT,
    adminToken: ADMIN_TOKEN,
    limits: 'off',
    ...options,
  })
}

export interface RunningAgent extends AsyncDisposable {
  /** `unix:///…` */
  readonly address: string
  readonly socketPath: string
  readonly dataDir: string
  readonly lines: readonly LogLine[]
  /** Resolves with the first log line (past or to come) of that event that the test likes. */
  logged(event: string, like?: (line: LogLine) => boolean): Promise<LogLine>
  /** As SIGTERM would. */
  stop(): Promise<void>
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly event: string; readonly level: string }

export interface AgentOptions {
  readonly dir: string
  readonly server: Pick<DevIcp, 'address' | 'caPath'>
  /** Settings by their names in the environment, without the prefix: `SYNC__INTERVAL`; undefined: left to `config.yaml` in `dir`. */
  readonly settings?: Readonly<Record<string, string | undefined>>
  readonly world?: Partial<DaemonWorld>
  /** Variables of OpenTelemetry. */
  readonly telemetry?: Readonly<Record<string, string>>
}

/** The whole agent in this process, on a real socket, with the real kernel. */
export async function startAgent({
  dir,
  server,
  settings = {},
  world = {},
  telemetry = {},
}: AgentOptions): Promise<RunningAgent> {
  const files = new Disk()
  const clock = new SystemClock()
  const all: Record<string, string | undefined> = {
    AGENT__TENANT_ID: TENANT,
    AGENT__NODE_ID: 'test-node',
    AGENT__DATA_DIR: join(dir, 'data'),
    AGENT__SOCKET_PATH: join(dir, 'run', 'agent.sock'),
    ICP_SERVICE__ADDRESS: server.address,
    ICP_SERVICE__TRUST_BUNDLE_PATH: server.caPath,
    ICP_SERVICE__RETRY_BACKOFF: '1',
    ATTESTATION__TYPE: 'unix',
    LOGGING__LEVEL: 'debug',
    HEALTH__ENABLED: 'false',
    SYNC__INTERVAL: '1s',
    // A machine that is busy with other tests is slow to make keys; no test is about that.
    WORKLOAD_API__HOLD: '30s',
    ...settings,
  }
  const env = Object.fromEntries(
    Object.entries(all).flatMap(([key, value]) => (value === undefined ? [] : [[`ICP_AGENT_${key}`, value]])),
  )
  const sources = {
    path: join(dir, 'config.yaml'),
    env,
    hostname: hostname(),
    insideContainer: false,
    files,
  }
  const { config, settings: inForce } = await loadConfig(sources)
  const lines: LogLine[] = []
  const waiting = new Set<() => void>()
  const log = createLog({
    level: config.logging.level,
    format: 'json',
    stdout: {
      write: (text) => {
        for (const line of text.split('\n')) if (line !== '') lines.push(JSON.parse(line) as LogLine)
        for (const look of waiting) look()
      },
    },
  })
  const kernel = createLinuxKernel()
  const stop = new AbortController()
  const traced = await withTelemetry<DaemonWorld>(
    config,
    {
      clock,
      random: systemRandom,
      files,
      kernel,
      log,
      metrics: createMetrics({ processMetrics: false }),
      node: { hostname: 'test', username: 'test', os: 'linux', kernel: '6', arch: 'x64', cpus: 1, memoryBytes: 1 },
      inPod: false,
      kubernetesApi: null,
      inheritedSocket: null,
      rotated: new Signal(),
      stdout: log.stdout,
      serviceManager: serviceManager({}, { pid: process.pid, log, monotonicMicroseconds: () => 0n }),
      hangingFiles: () => 0,
      threadsHang: () => undefined,
      configuration: { path: sources.path, env, settings: inForce, reread: () => loadConfig(sources) },
      logControls: log,
      hangUps: new HangUps(),
      ...world,
    },
    telemetry,
  )
  const daemon = runDaemon(config, traced.world, stop.signal).finally(() => traced[Symbol.asyncDispose]())
  const ended = daemon.finally(() => {
    kernel[Symbol.dispose]()
    log[Symbol.dispose]()
  })
  const logged = (event: string, like: (line: LogLine) => boolean = () => true): Promise<LogLine> =>
    new Promise((resolve) => {
      const look = () => {
        const line = lines.find((candidate) => candidate.event === event && like(candidate))
        if (!line) return
        waiting.delete(look)
        resolve(line)
      }
      waiting.add(look)
      look()
    })
  const running: RunningAgent = {
    address: `unix://${config.agent.socketPath}`,
    socketPath: config.agent.socketPath,
    dataDir: config.agent.dataDir,
    lines,
    logged,
    stop: async () => {
      stop.abort()
      await ended
    },
    [Symbol.asyncDispose]: () => running.stop(),
  }
  await Promise.race([logged('gRPC Workload API Server started'), ended])
  return running
}

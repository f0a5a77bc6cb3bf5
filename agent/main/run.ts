import { dirname } from 'node:path'
import { AgentError, messageOf } from '../errors.js'
import { unlessAborted } from '../lib/abort.js'
import { Signal } from '../lib/signal.js'
import type { Log } from '../observability/log.js'
import { seesOtherUsers, seesProcesses } from '../platform/capabilities.js'
import { DeadlineFiles } from '../platform/deadline-files.js'
import { Disk } from '../platform/disk.js'
import { exitNow } from '../platform/exit-now.js'
import { loadLibc } from '../platform/koffi-libc.js'
import { createLinuxKernel } from '../platform/linux-kernel.js'
import { describeNode } from '../platform/node-description.js'
import { openFileLimit } from '../platform/open-files.js'
import { type AgentLog, createLog } from '../platform/pino-log.js'
import { createMetrics } from '../platform/prom-metrics.js'
import { serviceManager } from '../platform/service-manager.js'
import { makeSocketDirectory } from '../platform/socket-directory.js'
import { SystemClock } from '../platform/system-clock.js'
import { systemRandom } from '../platform/system-random.js'
import { answerSignals } from './answer-signals.js'
import type { CommandIo } from './command.js'
import { type DaemonWorld, runDaemon } from './daemon.js'
import { HangUps } from './hang-ups.js'
import { threadsEnd } from './hanging-threads.js'
import { kubernetesApi } from './kubernetes-api.js'
import { placeRemedy } from './place-remedy.js'
import { readConfig } from './read-config.js'
import { inheritedSocket } from './socket-activation.js'
import { withTelemetry } from './telemetry.js'
import { DISK_PATIENCE_MS, directoriesOf, waitForDisks } from './wait-for-disks.js'

/**
 * Runs the daemon until the signal aborts; `configFile` is that of the command line. Exit codes: 0 stopped, 1 failed,
 * 2 the configuration cannot be used.
 */
export async function runAgent(configFile: string | undefined, io: CommandIo): Promise<number> {
  const threads: Threads = { hang: false, logging: () => 0 }
  const code = await runUntilStopped(configFile, io, threads)
  await threadsEnd(threads.logging, new SystemClock(), () => {
    threads.hang = true
  })
  // Only now: the log is written.
  if (threads.hang) exitNow(code)
  return code
}

/** Threads that may keep the process from ending. */
interface Threads {
  /** Some hang in a system call. */
  hang: boolean
  /** Those that write the log. */
  logging: () => number
}

async function runUntilStopped(configFile: string | undefined, io: CommandIo, threads: Threads): Promise<number> {
  const clock = new SystemClock()
  const read = await readWhenDisksAnswer(configFile, io, clock)
  if (read === null) {
    threads.hang = true
    return 0
  }
  const { config, warnings } = read
  makeSocketDirectory(config.agent.socketPath)
  using log = createLog({
    level: config.logging.level,
    format: config.logging.format,
    filePath: config.logging.filePath,
  })
  threads.logging = () => log.writing
  for (const warning of warnings) log.warn('Configuration warning', { ...warning })
  warnOfIgnored(io.ignoredVariables ?? [], log)
  const rotated = new Signal()
  const manager = serviceManager(io.env, { pid: process.pid, log })
  const hangUps = new HangUps()
  using _signals = io.onSignal?.(answerSignals(reopening(log, rotated), () => hangUps.heard()))
  try {
    loadLibc().ignoreRealTimeSignals()
    using kernel = createLinuxKernel()
    if (!seesOtherUsers()) {
      log.warn('Executables of other users cannot be read: CAP_SYS_PTRACE is not in effect', {
        consequence: 'workloads of other users get no unix:path and no unix:sha256, and containers may not be found',
        remedy:
          'Kubernetes and Docker: run as root with capabilities.add [SYS_PTRACE]; systemd: AmbientCapabilities=CAP_SYS_PTRACE',
      })
    }
    if (!seesProcesses()) {
      log.warn('Processes of other users are hidden: /proc is mounted with hidepid', {
        consequence: 'callers of other users get Unavailable, because the agent cannot identify them',
        remedy: 'give the agent CAP_SYS_PTRACE, or mount /proc with gid= of a group that the agent is in',
      })
    }
    const { dataDir } = config.agent
    const files = new DeadlineFiles(new Disk(), clock, [dataDir, dirname(config.security.cachePath)])
    await using telemetry = await withTelemetry<DaemonWorld>(
      config,
      {
        clock,
        random: systemRandom,
        files,
        kernel,
        log,
        rotated,
        stdout: log.stdout,
        metrics: createMetrics(),
        node: await describeNode(clock),
        openFiles: openFileLimit(),
        inPod: io.env['KUBERNETES_SERVICE_HOST'] !== undefined,
        kubernetesApi: kubernetesApi(io.env),
        inheritedSocket: inheritedSocket(io.env, process.pid),
        serviceManager: manager,
        configuration: read.source(files),
        logControls: log,
        hangUps,
        hangingFiles: () => files.hanging + log.writing,
        threadsHang: (count) => {
          log.warn('Threads hang in a system call; the process is ended without them', { threads: count })
          threads.hang = true
        },
      },
      io.env,
    )
    await runDaemon(config, telemetry.world, io.signal)
    log.info('Agent stopped')
    return 0
  } catch (error) {
    if (io.signal.aborted && error === io.signal.reason) return 0
    log.error('Agent failed', { error, ...placeRemedy(error, config.agent) })
    if (!(error instanceof AgentError)) io.stderr.write(`${messageOf(error)}\n`)
    return 1
  }
}

/** The log, and everything that is reopened with it. */
function reopening(log: AgentLog, rotated: Signal): Pick<AgentLog, 'reopen' | 'info' | 'warn'> {
  const reopen = () => {
    log.reopen()
    rotated.emit()
  }
  return { info: log.info, warn: log.warn, reopen }
}

/** The configuration, read when its disk and all disks that it names answer; null if the signal aborts first. */
async function readWhenDisksAnswer(configFile: string | undefined, io: CommandIo, clock: SystemClock) {
  try {
    // There is no log yet.
    const say = () => void io.stderr.write('warning the start waits for the disk of the configuration file\n')
    using late = clock.after(DISK_PATIENCE_MS, say)
    const read = await unlessAborted(readConfig(configFile, io), io.signal)
    late[Symbol.dispose]()
    // A log without its file, which is on one of these disks.
    using log = createLog({ level: read.config.logging.level, format: read.config.logging.format })
    await waitForDisks(directoriesOf(read.config), { clock, log }, io.signal)
    return read
  } catch (error) {
    if (!io.signal.aborted) throw error
    return null
  }
}

function warnOfIgnored(variables: readonly string[], log: Log): void {
  if (variables.length === 0) return
  log.warn('Ignoring environment variables that would weaken the agent', {
    variables,
    remedy: 'unset them for the agent; the authorities of a private CA go into icp_service.trust_bundle_path',
  })
}

import type { TelemetryFigures } from '../admin/sources.js'
import type { Signal } from '../lib/signal.js'
import type { Log } from '../observability/log.js'
import type { Metrics } from '../observability/metrics.js'
import type { Observer } from '../observability/observer.js'
import type { LineTaker } from '../platform/pino-log.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Kernel } from '../ports/kernel.js'
import type { NodeDescription } from '../ports/node-description.js'
import type { Random } from '../ports/random.js'
import type { RequestTracing } from '../ports/tracing.js'

/** All ports of the agent; tests replace them. */
export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly kernel: Kernel
  readonly log: Log
  readonly metrics: Metrics
  /** Sinks of events beside log and metrics; absent: none. */
  readonly observers?: readonly Observer[]
  /** The export by OpenTelemetry; absent: none. */
  readonly telemetry?: () => TelemetryFigures
  /** Traces of requests to the ICP server; absent: none. */
  readonly tracing?: RequestTracing
  /** Emits when log files may have been rotated. */
  readonly rotated: Signal
  /** Writes to standard output between the lines of the log. */
  readonly stdout: LineTaker
  readonly node: NodeDescription
  /** The limit of open files of this process; absent or null: none. */
  readonly openFiles?: number | null
  /** KUBERNETES_SERVICE_HOST is set. */
  readonly inPod: boolean
  /** The address of the Kubernetes API from the environment, `https://10.96.0.1:443`; null outside pods. */
  readonly kubernetesApi: string | null
}

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

/** The world as the agent sees it; tests put others in its place. */
export interface World {
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly kernel: Kernel
  readonly log: Log
  readonly metrics: Metrics
  /** Sinks of events beside log and metrics; absent: none. */
  readonly observers?: readonly Observer[]
  /** What OpenTelemetry exports; absent: nothing. */
  readonly telemetry?: () => TelemetryFigures
  /** Traces of requests to the ICP server; absent: none. */
  readonly tracing?: RequestTracing
  /** Emits when files that are appended to were perhaps rotated away. */
  readonly rotated: Signal
  /** Standard output, in between the lines of the log. */
  readonly stdout: LineTaker
  readonly node: NodeDescription
  /** How many files this process may have open; absent or null: as many as it likes. */
  readonly openFiles?: number | null
  /** KUBERNETES_SERVICE_HOST is set. */
  readonly inPod: boolean
  /** Where the environment says that the Kubernetes API is, `https://10.96.0.1:443`; null outside of pods. */
  readonly kubernetesApi: string | null
}

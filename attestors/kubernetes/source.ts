import type { KubernetesEvents } from '../../agent/observability/kubernetes-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'
import type { KubernetesApi } from './api.js'
import type { Pods } from './pods.js'

/** A source of the pods of this node, which it writes into Pods. */
export interface PodSource {
  /** Runs until the signal aborts; rejects only on a defect. */
  run(signal: AbortSignal): Promise<void>
  /** A caller waits for newer pods. Cheap to call repeatedly. */
  want(): void
  /** Resolves when Pods is as fresh as this source guarantees, or when nothing newer is available. */
  current(signal: AbortSignal): Promise<void>
}

/** What every source works with. */
export interface PodSourceOptions {
  readonly api: Pick<KubernetesApi, 'open'>
  readonly pods: Pods
  readonly nodeName: string
  readonly clock: Clock
  readonly random: Random
  readonly events: KubernetesEvents
}

import type { KubernetesEvents } from '../../agent/observability/kubernetes-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Random } from '../../agent/ports/random.js'
import type { KubernetesApi } from './api.js'
import type { Pods } from './pods.js'

/** Where the pods of this node come from: it writes into Pods what the platform says. */
export interface PodSource {
  /** Runs until the signal aborts; rejects only on a defect of our own. */
  run(signal: AbortSignal): Promise<void>
  /** Somebody waits for something newer. Costs nothing to say again and again. */
  want(): void
  /** Resolves when what is in Pods is as new as this source promises, or when there is nothing newer to be had. */
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

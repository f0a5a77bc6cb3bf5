import type { WorkloadAttestor } from '../../agent/attestation/attestor.js'
import type { EngineEvents } from '../../agent/observability/engine-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'
import type { HttpClient } from '../../agent/ports/http.js'
import type { Kernel } from '../../agent/ports/kernel.js'
import type { Random } from '../../agent/ports/random.js'
import { imageMatters } from './container-selectors.js'
import { Containers } from './containers.js'
import { EngineApi } from './engine-api.js'
import { watchEngine } from './engine-watch.js'
import { ImageLabels } from './image-labels.js'
import { LookUp } from './look-up.js'
import { DockerWorkloadAttestor } from './workload.js'

export interface DockerWorkloadsOptions {
  readonly http: Pick<HttpClient, 'request' | 'stream'>
  readonly files: Pick<Files, 'read'>
  readonly kernel: Pick<Kernel, 'host' | 'ownCgroup'>
  readonly clock: Clock
  readonly random: Random
  readonly events: EngineEvents
  /** `attestation.docker.socket_path`; the socket need not exist (yet). */
  readonly socketPath: string
  readonly authsecLabels: boolean
  readonly imageLabels: 'separate' | 'merged'
  readonly tenantId: string
}

export interface DockerWorkloads extends Disposable {
  readonly attestor: WorkloadAttestor
  /** Follows changes until the signal aborts; rejects only on a defect. */
  run(signal: AbortSignal): Promise<void>
}

/** The attestor of containers of one engine, and what keeps it up to date. */
export function dockerWorkloads(options: DockerWorkloadsOptions): DockerWorkloads {
  const { authsecLabels, imageLabels, tenantId, clock, events } = options
  const api = new EngineApi(options)
  const images = new ImageLabels({ api, events })
  const selectorOptions = { authsecLabels, imageLabels, tenantId }
  const lookUp = new LookUp({
    ...options,
    api,
    images,
    imageMatters: (container) => imageMatters(container, selectorOptions),
  })
  const containers = new Containers({ lookUp, clock, selectorOptions })
  return {
    attestor: new DockerWorkloadAttestor({ ...options, containers }),
    run: (signal) => watchEngine({ ...options, api, containers }, signal),
    [Symbol.dispose]: () => containers[Symbol.dispose](),
  }
}

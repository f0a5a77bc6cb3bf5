import type { PodName } from '../../agent/attestation/place.js'
import type { FileReports } from '../../agent/observability/file-events.js'
import type { KubernetesEvents } from '../../agent/observability/kubernetes-events.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'
import type { Kernel } from '../../agent/ports/kernel.js'
import type { Random } from '../../agent/ports/random.js'
import { containerOf } from '../shared/cgroup.js'
import { KubernetesApi, type OpenHttp } from './api.js'
import { Kubelet } from './kubelet.js'
import { ListWatch } from './list-watch.js'
import type { Pod } from './pod.js'
import { type OwnPod, Pods } from './pods.js'
import { KubernetesWorkloadAttestor } from './workload.js'

/** The settings of `attestation.kubernetes` that concern workloads. */
export interface KubernetesSettings {
  readonly clusterName: string
  readonly apiTokenPath: string
  readonly apiCaPath: string
  readonly authsecNamespaces: readonly string[]
  readonly source: 'api' | 'kubelet'
  readonly nodeName: string
  readonly containerWaitMs: number
  /** Null if the environment does not name the agent's pod. */
  readonly ownPod: OwnPod | null
  /** Without a trailing slash. */
  readonly kubeletAddress: string
  readonly kubeletCaPath: string
}

export interface KubernetesWorkloadsOptions {
  readonly files: Pick<Files, 'read'>
  readonly fileEvents: FileReports
  readonly kernel: Pick<Kernel, 'ownCgroup'>
  readonly clock: Clock
  readonly random: Random
  readonly events: KubernetesEvents
  readonly openHttp: OpenHttp
  /** `https://10.96.0.1:443`; null if the environment names no API server, outside pods. */
  readonly kubernetesApi: string | null
  readonly settings: KubernetesSettings
  readonly tenantId: string
}

/** The attestor of workloads in pods, and its source of pods. */
export interface KubernetesWorkloads {
  readonly attestor: KubernetesWorkloadAttestor
  /** Whether Kubernetes has listed the pods of this node since the start. */
  readonly listed: boolean
  /** The pods of this node with that name, as fresh as the source guarantees. */
  podsNamed(name: PodName, signal: AbortSignal): Promise<readonly Pod[]>
  /** Keeps the pods of this node up to date until the signal aborts. */
  run(signal: AbortSignal): Promise<void>
}

/** Null without a source: neither an API server in the environment nor a configured kubelet. */
export function kubernetesWorkloads(options: KubernetesWorkloadsOptions): KubernetesWorkloads | null {
  const { settings, kernel, clock, events, tenantId } = options
  const api = apiOf(options)
  if (!api) return null
  const { nodeName } = settings
  const pods = new Pods(clock, nodeName, settings.ownPod)
  const context = { ...options, api, pods, nodeName }
  const source = settings.source === 'kubelet' ? new Kubelet(context) : new ListWatch(context)
  const { clusterName, authsecNamespaces, containerWaitMs } = settings
  return {
    attestor: new KubernetesWorkloadAttestor({
      locate: (caller) => containerOf(caller.process.read('cgroup'), kernel.ownCgroup),
      pods,
      source,
      settings: { clusterName, authsecNamespaces, tenantId },
      containerWaitMs,
    }),
    get listed() {
      return Number.isFinite(pods.ageMs)
    },
    async podsNamed(name, signal) {
      await source.current(signal)
      return pods.named(name)
    },
    async run(signal) {
      await using _api = api
      using _figures = events.watchPods(() => {
        const { ageMs, size } = pods
        return { pods: size, ageSeconds: Number.isFinite(ageMs) ? ageMs / 1000 : -1 }
      })
      await source.run(signal)
    },
  }
}

function apiOf({
  settings,
  files,
  fileEvents,
  openHttp,
  kubernetesApi,
}: KubernetesWorkloadsOptions): KubernetesApi | null {
  const common = { files, fileEvents, openHttp, tokenPath: settings.apiTokenPath }
  if (settings.source === 'kubelet') {
    const caSetting = 'attestation.kubernetes.kubelet_ca_path'
    return new KubernetesApi({ ...common, address: settings.kubeletAddress, caPath: settings.kubeletCaPath, caSetting })
  }
  if (kubernetesApi === null) return null
  const caSetting = 'attestation.kubernetes.api_ca_path'
  return new KubernetesApi({ ...common, address: kubernetesApi, caPath: settings.apiCaPath, caSetting })
}

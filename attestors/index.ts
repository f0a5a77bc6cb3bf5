import type { NodeAttestationType, NodeAttestor } from '../agent/agent-svid/evidence.js'
import type { Config } from '../agent/config/config.js'
import type { AttestorEvents } from '../agent/observability/attestor-events.js'
import type { CallerEvents } from '../agent/observability/caller-events.js'
import type { EngineEvents } from '../agent/observability/engine-events.js'
import type { FileEvents, FileReports } from '../agent/observability/file-events.js'
import type { KubernetesEvents } from '../agent/observability/kubernetes-events.js'
import type { Clock } from '../agent/ports/clock.js'
import type { Files } from '../agent/ports/files.js'
import type { HttpClient } from '../agent/ports/http.js'
import type { Kernel } from '../agent/ports/kernel.js'
import type { NodeDescription } from '../agent/ports/node-description.js'
import type { Random } from '../agent/ports/random.js'
import { dockerNodeAttestor } from './docker/node.js'
import { joinTokenNodeAttestor } from './join-token/node.js'
import type { OpenHttp } from './kubernetes/api.js'
import { kubernetesNodeAttestor } from './kubernetes/node.js'
import type { ReadVersioned } from './unix/accounts.js'
import { unixNodeAttestor } from './unix/node.js'

/** The dependencies of attestors. */
export interface AttestorWorld {
  readonly files: Files
  /** Reports reread files that cannot be used. */
  readonly fileEvents: FileEvents
  readonly clock: Clock
  readonly random: Random
  readonly node: NodeDescription
  /** KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
  readonly kernel: Kernel
  readonly readVersioned: ReadVersioned
  readonly events: CallerEvents
  /** Whether any entry requires `unix:sha256`. When the first one does, workloads are attested again. */
  readonly digestWanted: () => boolean
  readonly attestorEvents: AttestorEvents
  readonly engineEvents: EngineEvents
  /** For Unix sockets: without certificates and proxies. */
  readonly http: HttpClient
  readonly kubernetesEvents: KubernetesEvents
  /** Opens a client that trusts only the given roots, and uses no proxy. */
  readonly openHttp: OpenHttp
  /** The address of the Kubernetes API from the environment, `https://10.96.0.1:443`; null outside pods. */
  readonly kubernetesApi: string | null
}

/** The node attestors of this node. */
export function nodeAttestors(
  { attestation }: Pick<Config, 'attestation'>,
  {
    files,
    fileEvents,
    node,
    inPod,
  }: Pick<AttestorWorld, 'files' | 'node' | 'inPod'> & { readonly fileEvents: FileReports },
  http: HttpClient,
): Readonly<Record<NodeAttestationType, NodeAttestor>> {
  return {
    unix: unixNodeAttestor({ pid: process.pid, username: node.username, hostname: node.hostname }),
    docker: dockerNodeAttestor({ files, http, socketPath: attestation.docker.socketPath, hostname: node.hostname }),
    kubernetes: kubernetesNodeAttestor({
      files,
      fileEvents,
      inPod,
      tokenPath: attestation.kubernetes.tokenPath,
      clusterName: attestation.kubernetes.clusterName,
    }),
    join_token: joinTokenNodeAttestor(),
  }
}

/** The settings of attestors, and the tenant of AI agents that they may name. */
export type AttestorConfig = Pick<Config, 'agent' | 'attestation'>

export { type AttestorChange, type WorkloadAttestors, workloadAttestors } from './workload-attestors.js'

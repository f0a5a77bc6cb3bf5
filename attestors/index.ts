import type { WorkloadAttestor } from '../agent/attestation/attestor.js'
import type { Config } from '../agent/config/config.js'
import type { NodeAttestationType, NodeAttestor } from '../agent/node/evidence.js'
import type { CallerEvents } from '../agent/observability/caller-events.js'
import type { EngineEvents } from '../agent/observability/engine-events.js'
import type { KubernetesEvents } from '../agent/observability/kubernetes-events.js'
import type { Clock } from '../agent/ports/clock.js'
import type { Files } from '../agent/ports/files.js'
import type { HttpClient } from '../agent/ports/http.js'
import type { Kernel } from '../agent/ports/kernel.js'
import type { NodeFacts } from '../agent/ports/node-facts.js'
import type { Random } from '../agent/ports/random.js'
import { dockerWorkloads } from './docker/create.js'
import { dockerNodeAttestor } from './docker/node.js'
import { joinTokenNodeAttestor } from './join-token/node.js'
import type { OpenHttp } from './kubernetes/api.js'
import { kubernetesWorkloads } from './kubernetes/create.js'
import { kubernetesNodeAttestor } from './kubernetes/node.js'
import { Accounts, type ReadVersioned } from './unix/accounts.js'
import { ExecutableDigests } from './unix/executable.js'
import { unixNodeAttestor } from './unix/node.js'
import { UnixWorkloadAttestor } from './unix/workload.js'

/** What attestors need of the world. */
export interface AttestorWorld {
  readonly files: Files
  readonly clock: Clock
  readonly random: Random
  readonly node: NodeFacts
  /** KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
  readonly kernel: Kernel
  readonly readVersioned: ReadVersioned
  readonly events: CallerEvents
  readonly engineEvents: EngineEvents
  /** For Unix sockets: without certificates and proxies. */
  readonly http: HttpClient
  readonly kubernetesEvents: KubernetesEvents
  /** Opens a client that trusts only what it is told, and uses no proxy. */
  readonly openHttp: OpenHttp
  /** Where the environment says that the Kubernetes API is, `https://10.96.0.1:443`; null outside of pods. */
  readonly kubernetesApi: string | null
}

/** The ways in which this node can attest itself to the server. */
export function nodeAttestors(
  { attestation }: Pick<Config, 'attestation'>,
  { files, node, inPod }: Pick<AttestorWorld, 'files' | 'node' | 'inPod'>,
  http: HttpClient,
): Readonly<Record<NodeAttestationType, NodeAttestor>> {
  return {
    unix: unixNodeAttestor({ pid: process.pid, username: node.username, hostname: node.hostname }),
    docker: dockerNodeAttestor({ files, http, socketPath: attestation.docker.socketPath, hostname: node.hostname }),
    kubernetes: kubernetesNodeAttestor({
      files,
      inPod,
      tokenPath: attestation.kubernetes.tokenPath,
      clusterName: attestation.kubernetes.clusterName,
    }),
    join_token: joinTokenNodeAttestor(),
  }
}

/** The attestors of workloads, and what they do besides: watch their platforms. */
export interface WorkloadAttestors extends Disposable {
  readonly all: readonly WorkloadAttestor[]
  /** Runs until the signal aborts; rejects only on a defect of our own. */
  run(signal: AbortSignal): Promise<void>
}

export function workloadAttestors(
  config: Pick<Config, 'agent' | 'attestation'>,
  world: AttestorWorld,
): WorkloadAttestors {
  const { unix, docker, kubernetes } = config.attestation
  const { kernel, clock, readVersioned, events } = world
  const digests = new ExecutableDigests({ clock, events, maxBytes: unix.maxExecutableBytes })
  const accounts = new Accounts({ read: readVersioned, clock, root: kernel.host.root })
  const { tenantId } = config.agent
  const containers = dockerWorkloads({ ...world, ...docker, tenantId, events: world.engineEvents })
  const pods = kubernetesWorkloads({ ...world, settings: kubernetes, tenantId, events: world.kubernetesEvents })
  return {
    all: [
      new UnixWorkloadAttestor({ host: kernel.host, accounts, digests, forgeable: unix.forgeable }),
      containers.attestor,
      ...(pods ? [pods.attestor] : []),
    ],
    run: async (signal) => {
      await Promise.all([containers.run(signal), pods?.run(signal)])
    },
    [Symbol.dispose]: () => {
      containers[Symbol.dispose]()
      digests[Symbol.dispose]()
    },
  }
}

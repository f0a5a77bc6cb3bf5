import type { NodeAttestationType, NodeAttestor } from '../agent/agent-svid/evidence.js'
import type { WorkloadAttestor } from '../agent/attestation/attestor.js'
import type { PlaceFinder } from '../agent/attestation/place.js'
import type { Config } from '../agent/config/config.js'
import type { AttestorEvents, AttestorStatus } from '../agent/observability/attestor-events.js'
import type { CallerEvents } from '../agent/observability/caller-events.js'
import type { EngineEvents } from '../agent/observability/engine-events.js'
import type { FileEvents } from '../agent/observability/file-events.js'
import type { KubernetesEvents } from '../agent/observability/kubernetes-events.js'
import type { Clock } from '../agent/ports/clock.js'
import type { Files } from '../agent/ports/files.js'
import type { HttpClient } from '../agent/ports/http.js'
import type { Kernel } from '../agent/ports/kernel.js'
import type { NodeFacts } from '../agent/ports/node-facts.js'
import type { Random } from '../agent/ports/random.js'
import { withEngineStatus, withKubernetesStatus } from './attestor-status.js'
import { dockerWorkloads } from './docker/create.js'
import { dockerNodeAttestor } from './docker/node.js'
import { joinTokenNodeAttestor } from './join-token/node.js'
import type { OpenHttp } from './kubernetes/api.js'
import { kubernetesWorkloads } from './kubernetes/create.js'
import { kubernetesNodeAttestor } from './kubernetes/node.js'
import { placeFinder } from './places.js'
import { systemdWorkloads } from './systemd/create.js'
import { Accounts, type ReadVersioned } from './unix/accounts.js'
import { ExecutableDigests } from './unix/executable.js'
import { unixNodeAttestor } from './unix/node.js'
import { UnixWorkloadAttestor } from './unix/workload.js'

/** What attestors need of the world. */
export interface AttestorWorld {
  readonly files: Files
  /** Tells of files that are read again and cannot be used. */
  readonly fileEvents: FileEvents
  readonly clock: Clock
  readonly random: Random
  readonly node: NodeFacts
  /** KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
  readonly kernel: Kernel
  readonly readVersioned: ReadVersioned
  readonly events: CallerEvents
  /** Whether any entry asks for `unix:sha256`. Whoever says so for the first time has workloads looked at again. */
  readonly digestWanted: () => boolean
  readonly attestorEvents: AttestorEvents
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
  { files, fileEvents, node, inPod }: Pick<AttestorWorld, 'files' | 'fileEvents' | 'node' | 'inPod'>,
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

/** The attestors of workloads, and what they do besides: watch their platforms. */
export interface WorkloadAttestors extends Disposable {
  readonly all: readonly WorkloadAttestor[]
  /** Which of them are on, and why the others are off; empty before `run`. */
  statuses(): readonly AttestorStatus[]
  /** Whether Kubernetes has listed the pods of this node since the start; null where it is not asked. */
  readonly podsListed: boolean | null
  /** Finds processes by the names that platforms give them. */
  readonly places: PlaceFinder
  /** Threads that live. Those that do a moment after disposal hang in a system call, and Node cannot end. */
  readonly threads: number
  /** Runs until the signal aborts; rejects only on a defect of our own. */
  run(signal: AbortSignal): Promise<void>
}

/**
 * The attestors of workloads: each is asked where its platform is, whatever the node attests as. That of systemd is on
 * with `attestation.unix.method: systemd`, and with `attestation.type: auto` wherever systemd runs.
 */
export function workloadAttestors(
  config: Pick<Config, 'agent' | 'attestation'>,
  world: AttestorWorld,
): WorkloadAttestors {
  const { type, unix, docker, kubernetes } = config.attestation
  const { kernel, clock, readVersioned, fileEvents, events, attestorEvents, digestWanted } = world
  const { root } = kernel.host
  const { tenantId } = config.agent
  const digests = new ExecutableDigests({ clock, events, maxBytes: unix.maxExecutableBytes })
  const accounts = new Accounts({ read: readVersioned, clock, root, fileEvents })
  const containers = dockerWorkloads({
    ...world,
    ...docker,
    tenantId,
    events: withEngineStatus(world.engineEvents, attestorEvents, docker.socketPath),
  })
  const pods = kubernetesWorkloads({
    ...world,
    settings: kubernetes,
    tenantId,
    events: withKubernetesStatus(world.kubernetesEvents, attestorEvents, kubernetes.nodeName),
  })
  const wantsUnits = unix.method === 'systemd' || type === 'auto'
  const units = wantsUnits ? systemdWorkloads({ ...world, events: attestorEvents, root }) : null
  return {
    all: [
      new UnixWorkloadAttestor({ kernel, accounts, digests, digestWanted, forgeable: unix.forgeable }),
      containers.attestor,
      ...(pods ? [pods.attestor] : []),
      ...(units ? [units] : []),
    ],
    places: placeFinder(kernel, pods),
    statuses: () => attestorEvents.statuses(),
    get podsListed() {
      return pods?.listed ?? null
    },
    get threads() {
      return digests.threads
    },
    run: async (signal) => {
      attestorEvents.reportStatus('unix', true, 'the kernel is always there')
      attestorEvents.reportStatus('docker', false, 'not looked for yet')
      if (pods) attestorEvents.reportStatus('kubernetes', true, 'the pods of this node have not been listed yet')
      else attestorEvents.reportStatus('kubernetes', false, NO_PODS)
      if (!units) attestorEvents.reportStatus('systemd', false, NO_UNITS)
      await Promise.all([containers.run(signal), pods?.run(signal), units?.run(signal)])
    },
    [Symbol.dispose]: () => {
      containers[Symbol.dispose]()
      digests[Symbol.dispose]()
    },
  }
}

const NO_PODS = 'the agent runs in no pod (KUBERNETES_SERVICE_HOST), and attestation.kubernetes.source is not kubelet'
const NO_UNITS = 'attestation.unix.method is procfs, and attestation.type is not auto'

import type { WorkloadAttestor } from '../agent/attestation/attestor.js'
import type { Config } from '../agent/config/config.js'
import type { NodeAttestationType, NodeAttestor } from '../agent/node/evidence.js'
import type { Clock } from '../agent/ports/clock.js'
import type { Files } from '../agent/ports/files.js'
import type { HttpClient } from '../agent/ports/http.js'
import type { NodeFacts } from '../agent/ports/node-facts.js'
import { dockerNodeAttestor } from './docker/node.js'
import { joinTokenNodeAttestor } from './join-token/node.js'
import { kubernetesNodeAttestor } from './kubernetes/node.js'
import { unixNodeAttestor } from './unix/node.js'

/** What attestors need of the world. */
export interface AttestorWorld {
  readonly files: Files
  readonly clock: Clock
  readonly node: NodeFacts
  /** KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
}

/** The ways in which this node can attest itself to the server. */
export function nodeAttestors(
  { attestation }: Pick<Config, 'attestation'>,
  { files, node, inPod }: AttestorWorld,
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

/** The attestors of workloads. */
export function workloadAttestors(_config: Config, _world: AttestorWorld): readonly WorkloadAttestor[] {
  return []
}

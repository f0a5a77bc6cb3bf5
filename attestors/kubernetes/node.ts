import { Secret } from '../../agent/crypto/secret.js'
import { AgentError } from '../../agent/errors.js'
import type { NodeAttestor } from '../../agent/node/evidence.js'
import type { Files } from '../../agent/ports/files.js'

/** A projected token is about 1 KB; audiences and claims make it grow. */
const MAX_TOKEN_BYTES = 64 * 1024

export interface KubernetesNode {
  readonly files: Pick<Files, 'read'>
  /** True where KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
  /** `attestation.kubernetes.token_path`. */
  readonly tokenPath: string
  /** `attestation.kubernetes.cluster_name`; may be empty. */
  readonly clusterName: string
}

/**
 * A node of a Kubernetes cluster, by the projected service-account token of the agent's pod (PSAT), which the server
 * has the cluster review. The kubelet replaces the file long before the token ends, so it is read at every attempt.
 */
export function kubernetesNodeAttestor(node: KubernetesNode): NodeAttestor {
  const token = async (): Promise<string> => {
    const content = await node.files.read(node.tokenPath, { maxBytes: MAX_TOKEN_BYTES })
    return content?.toString('utf8').trim() ?? ''
  }
  return {
    type: 'kubernetes',
    applies: async () => node.inPod && (await token().catch(unreadable)) !== '',
    evidence: async () => {
      const psat = await token()
      if (psat === '') {
        throw new AgentError(
          'platform.unavailable',
          `there is no service-account token at ${node.tokenPath}: project one into the agent's pod, or set attestation.kubernetes.token_path to where it is`,
        )
      }
      return { type: 'kubernetes', evidence: { psat_token: new Secret(psat), cluster_name: node.clusterName } }
    },
  }
}

/** A token that is there but cannot be read is still a reason to attest as Kubernetes, and to hear why it fails. */
function unreadable(): string {
  return 'unreadable'
}

import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'
import { Secret } from '../../agent/crypto/secret.js'
import { AgentError } from '../../agent/errors.js'
import type { FileReports } from '../../agent/observability/file-events.js'
import type { Files } from '../../agent/ports/files.js'
import { tokenFile } from './token-file.js'

export interface KubernetesNode {
  readonly files: Pick<Files, 'read'>
  readonly fileEvents: FileReports
  /** True where KUBERNETES_SERVICE_HOST is set: the agent runs in a pod. */
  readonly inPod: boolean
  /** `attestation.kubernetes.token_path`. */
  readonly tokenPath: string
  /** `attestation.kubernetes.cluster_name`; may be empty. */
  readonly clusterName: string
}

/**
 * A node of a Kubernetes cluster, by the projected service-account token of the agent's pod (PSAT), which the server
 * verifies by a TokenReview. The kubelet replaces the file before the token expires, so it is read at every attempt.
 */
export function kubernetesNodeAttestor(node: KubernetesNode): NodeAttestor {
  const file = tokenFile(node, node.tokenPath, 'attestation.kubernetes.token_path')
  const token = async (): Promise<string> => (await file.read())?.trim() ?? ''
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

/** An unreadable token still selects this type, so that the attestation reports the error. */
function unreadable(): string {
  return 'unreadable'
}

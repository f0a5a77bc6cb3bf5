import { AgentError } from '../errors.js'
import type { NodeEvidence } from '../icp/control-plane.js'
import type { JoinTokenSource } from './join-token.js'

export type { NodeEvidence }

/** The types of node attestation. */
export type NodeAttestationType = NodeEvidence['type']

/** The consumer's port: gathers this node's evidence for the server. One per type, in `attestors/<platform>/node.ts`. */
export interface NodeAttestor {
  readonly type: NodeAttestationType
  /**
   * Whether this node seems to be of this type, for `attestation.type: auto`. Never throws because of a platform.
   */
  applies(signal: AbortSignal): Promise<boolean>
  /**
   * Collects the evidence, at every attempt because tokens rotate. Contains no join token; the caller adds that.
   * Throws `platform.unavailable`, `file.io`, `file.too_large`, with advice on what to mount or set.
   */
  evidence(signal: AbortSignal): Promise<NodeEvidence>
}

export interface EvidenceOptions {
  /** `attestation.type`. */
  readonly type: 'auto' | NodeAttestationType
  readonly attestors: Readonly<Record<NodeAttestationType, NodeAttestor>>
  readonly joinTokens: JoinTokenSource
}

/** Evidence, and the digest of its join token. */
export interface CollectedEvidence {
  readonly evidence: NodeEvidence
  readonly tokenDigest: string | null
}

/** The types that `auto` tries, in this order; the last always applies. `join_token` must be configured. */
const AUTO: readonly NodeAttestationType[] = ['kubernetes', 'docker', 'unix']

/**
 * Collects the evidence for one attempt from the configured (or applicable) attestor. A configured join token is added
 * for every type: newer servers require it, older ones ignore it.
 * Throws `agent.locked_out` if the type is `join_token` and there is no token.
 */
export async function collectEvidence(options: EvidenceOptions, signal: AbortSignal): Promise<CollectedEvidence> {
  const type = options.type === 'auto' ? await applicable(options.attestors, signal) : options.type
  const evidence = await options.attestors[type].evidence(signal)
  const joinToken = await options.joinTokens.read()
  signal.throwIfAborted()
  if (joinToken) return { evidence: { ...evidence, joinToken: joinToken.token }, tokenDigest: joinToken.digest }
  if (type === 'join_token') {
    throw new AgentError('agent.locked_out', `attestation.type is join_token, but ${options.joinTokens.absence}`)
  }
  return { evidence, tokenDigest: null }
}

async function applicable(
  attestors: Readonly<Record<NodeAttestationType, NodeAttestor>>,
  signal: AbortSignal,
): Promise<NodeAttestationType> {
  for (const type of AUTO) if (await attestors[type].applies(signal)) return type
  return 'unix'
}

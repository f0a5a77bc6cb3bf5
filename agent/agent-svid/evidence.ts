import { AgentError } from '../errors.js'
import type { NodeEvidence } from '../icp/control-plane.js'
import type { JoinTokenSource } from './join-token.js'

export type { NodeEvidence }

/** The ways in which a node can say what it is. */
export type NodeAttestationType = NodeEvidence['type']

/** The consumer's port: says what this node is, to the server. One per type, in `attestors/<platform>/node.ts`. */
export interface NodeAttestor {
  readonly type: NodeAttestationType
  /**
   * True where this node looks like one of its kind: what `attestation.type: auto` asks. Never throws for a platform.
   */
  applies(signal: AbortSignal): Promise<boolean>
  /**
   * Collected again for every attempt: tokens rotate. Never carries a join token; that is added beside it.
   * Throws `platform.unavailable`, `file.io`, `file.too_large`, with the advice what to mount or set.
   */
  evidence(signal: AbortSignal): Promise<NodeEvidence>
}

export interface EvidenceOptions {
  /** `attestation.type`. */
  readonly type: 'auto' | NodeAttestationType
  readonly attestors: Readonly<Record<NodeAttestationType, NodeAttestor>>
  readonly joinTokens: JoinTokenSource
}

/** Evidence, and the digest by which its join token is remembered. */
export interface CollectedEvidence {
  readonly evidence: NodeEvidence
  readonly tokenDigest: string | null
}

/** What `auto` tries, in this order; the last always applies. A join token alone is never chosen, only configured. */
const AUTO: readonly NodeAttestationType[] = ['kubernetes', 'docker', 'unix']

/**
 * The evidence for one attempt: from the attestor that is configured (or applies here), with the join token where one
 * is configured, whatever the type: newer servers want it, older ones ignore it.
 * Throws `agent.locked_out` where the token is all there is and there is none.
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

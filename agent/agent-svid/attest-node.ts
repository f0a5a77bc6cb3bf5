import type { KeyObject } from 'node:crypto'
import { createCsr } from '../crypto/csr.js'
import type { Secret } from '../crypto/secret.js'
import type { WithCommonName } from '../icp/common-name.js'
import type { AttestedNode, ControlPlane, IssuedCertificate, NodeEvidence } from '../icp/control-plane.js'
import { certifiedKey } from '../identity/certified-key.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Clock } from '../ports/clock.js'
import type { AgentSvid } from './agent-svid.js'
import type { Answer } from './pending.js'

export interface Exchange {
  readonly control: Pick<ControlPlane, 'attestNode' | 'renewAgent' | 'bundle'>
  readonly clock: Pick<Clock, 'now'>
  readonly spiffeId: SpiffeId
  /** What is known of the role that signs agents' certificates. */
  readonly withCommonName: WithCommonName
}

/** An answer with the key that its certificate is for. */
export interface Answered {
  readonly answer: Answer
  readonly key: Secret<KeyObject>
}

/** Node attestation: evidence and a CSR with the agent's SPIFFE ID as its one URI. Throws `icp.*`. */
export async function attestNode(
  exchange: Exchange,
  { evidence, key }: { readonly evidence: NodeEvidence; readonly key: Secret<KeyObject> },
  signal: AbortSignal,
): Promise<Answered> {
  const attested = await exchange.withCommonName(
    async (commonName) => {
      const csrPem = await csr(exchange, key, commonName)
      return await exchange.control.attestNode({ evidence, csrPem }, signal)
    },
    { joinToken: evidence.joinToken !== undefined },
  )
  return answered(exchange, attested, key, attested)
}

/** Renewal under the identity in force, which the control plane presents. Throws `icp.*`. */
export async function renewNode(
  exchange: Exchange,
  { identity, key }: { readonly identity: AgentSvid; readonly key: Secret<KeyObject> },
  signal: AbortSignal,
): Promise<Answered> {
  const issued = await exchange.withCommonName(async (commonName) => {
    const csrPem = await csr(exchange, key, commonName)
    return await exchange.control.renewAgent({ agentId: identity.agentId, csrPem }, signal)
  })
  return answered(exchange, issued, key, identity)
}

function csr({ spiffeId }: Exchange, key: Secret<KeyObject>, commonName: string): Promise<string> {
  return createCsr({ key: key.reveal(), uri: spiffeId.uri, commonName })
}

function answered(
  { clock }: Exchange,
  issued: IssuedCertificate,
  key: Secret<KeyObject>,
  known: Pick<AttestedNode, 'agentId' | 'workspace'>,
): Answered {
  return {
    answer: {
      agentId: known.agentId,
      named: issued.spiffeId,
      workspace: known.workspace,
      receivedAt: clock.now(),
      chain: issued.chain,
      authorities: issued.bundle,
    },
    key: certifiedKey(issued.chain, key, issued.serverKey),
  }
}

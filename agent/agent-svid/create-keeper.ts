import type { KeySource } from '../crypto/keys.js'
import type { WithCommonName } from '../icp/common-name.js'
import type { ControlPlane, ServerSkew } from '../icp/control-plane.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import type { Backoff } from '../lib/backoff.js'
import type { RenewalThreshold } from '../lib/renewal-time.js'
import type { NodeEvents } from '../observability/node-events.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import type { Random } from '../ports/random.js'
import { AgentSvidSteps } from './attest.js'
import type { EvidenceOptions } from './evidence.js'
import { AgentSvidFile } from './file.js'
import { type JoinTokenOptions, JoinTokenSource } from './join-token.js'
import { AgentSvidKeeper } from './run.js'

export interface CreateKeeperOptions {
  readonly clock: Clock
  readonly random: Random
  readonly files: Files
  readonly control: Pick<ControlPlane, 'attestNode' | 'renewAgent' | 'bundle'>
  /** Our clock's error by the server's answers: a clock that is ahead must not cost a join token. */
  readonly skew: ServerSkew
  readonly keys: KeySource
  readonly withCommonName: WithCommonName
  readonly events: NodeEvents
  readonly agent: {
    readonly tenantId: string
    readonly nodeId: string
    readonly dataDir: string
  }
  /** `attestation.type`, and the node attestors. */
  readonly attestation: Omit<EvidenceOptions, 'joinTokens'>
  readonly joinToken: JoinTokenOptions
  readonly threshold: RenewalThreshold
  /** Waits after failed attempts; the cap is 60 s unless another one is given. */
  readonly backoff: Backoff
}

/** Creates the keeper of the agent SVID with its parts. Reads and sends nothing before `restore` and `run`. */
export function createAgentSvidKeeper(options: CreateKeeperOptions): AgentSvidKeeper {
  const { clock, random, files, control, keys, withCommonName, events, agent, threshold, backoff, skew } = options
  const spiffeId = agentSpiffeId(agent)
  const joinTokens = new JoinTokenSource(files, options.joinToken)
  const file = new AgentSvidFile({ files, dataDir: agent.dataDir, owner: agent, spiffeId })
  const { attestation } = options
  // Getters, because a reload may change them between attempts.
  const evidence: EvidenceOptions = {
    get type() {
      return attestation.type
    },
    get attestors() {
      return attestation.attestors
    },
    joinTokens,
  }
  const steps = new AgentSvidSteps({
    control,
    clock,
    random,
    keys,
    withCommonName,
    spiffeId,
    file,
    evidence,
    skew,
  })
  return new AgentSvidKeeper({ clock, random, file, steps, joinTokens, skew, threshold, backoff, events })
}

/** The SPIFFE ID of an agent: its trust domain is the account. Throws `spiffe_id.invalid`. */
export function agentSpiffeId({ tenantId, nodeId }: { readonly tenantId: string; readonly nodeId: string }): SpiffeId {
  return SpiffeId.parse(`spiffe://${tenantId}/agent/${nodeId}`)
}

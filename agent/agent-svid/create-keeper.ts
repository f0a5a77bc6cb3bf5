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
  /** What the server's answers say of our clock: no join token is spent because it is ahead. */
  readonly skew: ServerSkew
  readonly keys: KeySource
  readonly withCommonName: WithCommonName
  readonly events: NodeEvents
  readonly agent: {
    readonly tenantId: string
    readonly nodeId: string
    readonly dataDir: string
  }
  /** `attestation.type`, and who gathers the evidence. */
  readonly attestation: Omit<EvidenceOptions, 'joinTokens'>
  readonly joinToken: JoinTokenOptions
  readonly threshold: RenewalThreshold
  /** Between attempts that fail; the cap of 60 s holds unless another is given. */
  readonly backoff: Backoff
}

/** The keeper of the agent's own identity with its parts; nothing is read or sent before `restore` and `run`. */
export function createAgentSvidKeeper(options: CreateKeeperOptions): AgentSvidKeeper {
  const { clock, random, files, control, keys, withCommonName, events, agent, threshold, backoff, skew } = options
  const spiffeId = agentSpiffeId(agent)
  const joinTokens = new JoinTokenSource(files, options.joinToken)
  const file = new AgentSvidFile({ files, dataDir: agent.dataDir, owner: agent, spiffeId })
  const { attestation } = options
  // Read at each attempt: a reload may change them.
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

import { type AgentError, messageOf } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce } from './once.js'

/** The agent's own identity, as far as a log line needs it. */
interface IdentityFields {
  readonly agentId: string
  readonly spiffeId: SpiffeId
  readonly serial: string
  readonly notAfter: number
}

const until = ({ notAfter }: { readonly notAfter: number }) => new Date(notAfter).toISOString()
const ended = (identity: IdentityFields) => ({
  agent_id: identity.agentId,
  spiffe_id: identity.spiffeId.uri,
  serial: identity.serial,
  not_after: until(identity),
})

/** What happens to the agent's own identity. */
export const nodeEvents = ({ log, metrics }: Sinks, clock: Clock) => {
  const attesting = sayOnce(log, clock, {
    failing: 'Node attestation failed',
    recovered: 'Node attestation works again',
  })
  const renewing = sayOnce(log, clock, {
    failing: 'Agent SVID renewal failed',
    recovered: 'Agent SVID renewal works again',
  })
  const saving = sayOnce(log, clock, {
    failing: 'Agent identity cannot be written and is in memory only',
    recovered: 'Agent identity is on disk again',
  })
  return {
    /** An identity that was on disk is in force again. */
    restored(identity: IdentityFields): void {
      log.info('Agent identity restored', ended(identity))
    },

    /** A file of another node, or a damaged one, is kept under another name and not used. */
    setAside(aside: { readonly path: string; readonly reason: string; readonly detail: string }): void {
      log.warn('Agent identity file set aside', { path: aside.path, reason: aside.reason, detail: aside.detail })
    },

    /** The last run ended between sending a join token and the certificate. */
    unfinished(tokenSentAt: number): void {
      log.warn('An earlier node attestation did not finish; its join token may be used up', {
        code: 'agent.token_consumed',
        sent_at: new Date(tokenSentAt).toISOString(),
      })
    },

    attested(identity: IdentityFields): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: 'ok' })
      attesting.succeeded()
      renewing.succeeded()
      log.info('Node attestation successful', ended(identity))
    },

    attestationFailed(error: AgentError, retryInMs: number): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      attesting.failed(error, { retry_in_seconds: Math.round(retryInMs / 1000) })
    },

    renewed(identity: IdentityFields): void {
      renewing.succeeded()
      attesting.succeeded()
      log.info('Agent SVID renewal successful', ended(identity))
    },

    renewalFailed(error: AgentError, retryInMs: number): void {
      renewing.failed(error, { retry_in_seconds: Math.round(retryInMs / 1000) })
    },

    /** Some servers refuse every renewal: the node attests again instead, which is no failure. */
    renewalRefused(error: AgentError): void {
      log.debug('The ICP server refuses to renew; attesting again', { code: error.code })
    },

    /** Said once per lock-out. What is valid is served on. */
    lockedOut(error: AgentError, identity: IdentityFields | null): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      log.error('Node is locked out', {
        code: error.code,
        advice: error.message,
        ...(error.cause === undefined ? {} : { answer: messageOf(error.cause) }),
        ...(identity && { valid_until: until(identity) }),
      })
    },

    /** The lock-out stands: tried again at a slow pace, and refused again. */
    stillLockedOut(error: AgentError): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      log.debug('Node is still locked out', { code: error.code })
    },

    joinTokenFound(): void {
      log.info('A new join token was found; attesting again')
    },

    /** The disk does not take what is in force; it is tried again. */
    unsaved(error: AgentError): void {
      saving.failed(error)
    },

    /** What is in force is on disk. */
    saved(): void {
      saving.succeeded()
    },

    /** The agent's own SVID ended before it could be renewed. */
    expired(identity: IdentityFields): void {
      log.error('Agent SVID expired', ended(identity))
    },
  }
}

export type NodeEvents = ReturnType<typeof nodeEvents>

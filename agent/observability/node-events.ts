import { type AgentError, messageOf } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import { iso } from '../lib/time.js'
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

const until = ({ notAfter }: { readonly notAfter: number }) => iso(notAfter)
const ended = (identity: IdentityFields) => ({
  agent_id: identity.agentId,
  spiffe_id: identity.spiffeId.uri,
  serial: identity.serial,
  not_after: until(identity),
})

/** What happens to the agent's own identity. */
export const nodeEvents = ({ log, metrics, observers }: Sinks, clock: Clock) => {
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
  const accepting = sayOnce(log, clock, {
    failing: 'ICP server accepts no certificate of the agent',
    recovered: 'ICP server accepts the agent again',
  })
  return {
    /** The agent's SVID was read from disk and is used again. */
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
        sent_at: iso(tokenSentAt),
      })
    },

    attested(identity: IdentityFields): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: 'ok' })
      attesting.succeeded()
      renewing.succeeded()
      log.info('Node attestation successful', ended(identity))
      for (const observer of observers) observer.nodeAttested?.(identity, 'attested')
    },

    attestationFailed(error: AgentError, retryInMs: number): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      attesting.failed(error, { retry_in_seconds: Math.round(retryInMs / 1000) })
    },

    renewed(identity: IdentityFields): void {
      renewing.succeeded()
      attesting.succeeded()
      log.info('Agent SVID renewal successful', ended(identity))
      for (const observer of observers) observer.nodeAttested?.(identity, 'renewed')
    },

    renewalFailed(error: AgentError, retryInMs: number): void {
      renewing.failed(error, { retry_in_seconds: Math.round(retryInMs / 1000) })
    },

    /** Some servers refuse every renewal: the node attests again instead, which is no failure. */
    renewalRefused(error: AgentError): void {
      log.debug('The ICP server refuses to renew; attesting again', { code: error.code })
    },

    /** Logged once per lock-out. Valid SVIDs are still served. */
    lockedOut(error: AgentError, identity: IdentityFields | null): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      log.error('Node is locked out', {
        code: error.code,
        advice: error.message,
        ...(error.cause === undefined ? {} : { answer: messageOf(error.cause) }),
        ...(identity && { valid_until: until(identity) }),
      })
    },

    /** The lock-out persists: a slow retry was refused again. */
    stillLockedOut(error: AgentError): void {
      metrics.count('icp_agent_node_attestations_total', { outcome: error.code })
      log.debug('Node is still locked out', { code: error.code })
    },

    /** The server refuses every certificate that is valid. */
    refused(error: AgentError, identity: IdentityFields | null): void {
      accepting.failed(error, identity ? { valid_until: until(identity) } : {})
    },

    /** A request was refused under every certificate. */
    refusalCounted(): void {
      metrics.count('icp_agent_certificate_refusals_total', { outcome: 'all_refused' })
    },

    /** A certificate is accepted again, or the agent is active again, or has a new certificate. */
    acceptedAgain(): void {
      accepting.succeeded()
    },

    /** One certificate was refused and the other accepted; the server's CA is changing, or has changed. */
    otherAccepted(which: 'newest' | 'older'): void {
      metrics.count('icp_agent_certificate_refusals_total', { outcome: 'other_accepted' })
      log.info('ICP server accepts the other certificate of the agent', { certificate: which })
    },

    /** An administrator has revoked the agent; without an error: it was already revoked when the agent last stopped. */
    inactive(identity: IdentityFields | null, error?: AgentError): void {
      log.error('Agent was made inactive by an administrator', {
        ...(error && { error }),
        ...(identity && { valid_until: until(identity) }),
      })
    },

    /** An answer named an issuer other than that of the agent's certificate. */
    newIssuer(renewsInMs: number): void {
      log.info('ICP server has a new issuer; the agent SVID is renewed early', {
        renews_in_seconds: Math.round(renewsInMs / 1000),
      })
    },

    joinTokenFound(): void {
      log.info('A new join token was found; attesting again')
    },

    /** The agent's SVID in use could not be written to disk; the write is retried. */
    unsaved(error: AgentError): void {
      saving.failed(error)
    },

    /** The agent's SVID in use is on disk. */
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

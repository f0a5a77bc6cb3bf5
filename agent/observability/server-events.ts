import { type AgentError, codeOf, type ErrorCode, messageOf, SILENCE } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import { sayOnce, type Trouble } from './once.js'

const SKEW_WORTH_SAYING_MS = 30_000

/** Outcomes of requests whose counters start at 0. */
const COUNTED: readonly string[] = [
  'ok',
  ...SILENCE,
  'icp.bad_response',
  'icp.unauthorized',
  'icp.forbidden',
  'icp.agent_inactive',
  'icp.rate_limited',
  'icp.server_error',
]

/**
 * What happens between the agent and the ICP server. An unreachable server is logged here, once for all endpoints.
 * Errors that the server answers are counted here, and logged by the part that sent the request.
 */
export const serverEvents = ({ log, metrics }: Sinks, clock: Clock) => {
  const reaching = sayOnce(log, clock, {
    failing: 'ICP server cannot be reached',
    recovered: 'ICP server answers again',
  })
  let skewed = false

  return {
    /** Why the server cannot be reached, and since when; null while it answers. */
    get outage(): Trouble | null {
      return reaching.trouble
    },

    /** Starts the counters at 0 for every outcome that an alert uses, for these endpoints. */
    expects(endpoints: readonly string[]): void {
      for (const endpoint of endpoints) {
        for (const outcome of COUNTED) metrics.count('icp_agent_server_requests_total', { endpoint, outcome }, 0)
      }
    },

    /** A request was answered with success. */
    answered(endpoint: string, seconds: number): void {
      metrics.count('icp_agent_server_requests_total', { endpoint, outcome: 'ok' })
      metrics.observe('icp_agent_server_request_seconds', seconds, { endpoint })
      reaching.succeeded()
    },

    /** A request failed: no answer, or an error. */
    failed(endpoint: string, seconds: number, error: unknown): void {
      const code = codeOf(error)
      metrics.count('icp_agent_server_requests_total', { endpoint, outcome: code })
      metrics.observe('icp_agent_server_request_seconds', seconds, { endpoint })
      if (SILENCE.has(code)) {
        reaching.failed(error, { endpoint })
        return
      }
      reaching.succeeded()
      log.debug('ICP server request failed', { endpoint, code, reason: messageOf(error) })
    },

    /** The server asked to slow down. */
    rateLimited(endpoint: string, { details }: AgentError<'icp.rate_limited'>): void {
      metrics.count('icp_agent_rate_limited_total', { tier: details.tier })
      log.debug('ICP server throttled a request', { endpoint, retry_after_seconds: details.retryAfterMs / 1000 })
    },

    /** The same request is sent again after a wait. */
    retrying(endpoint: string, code: ErrorCode, attempt: number, waitMs: number): void {
      log.debug('ICP server request retried', { endpoint, code, attempt, wait_seconds: waitMs / 1000 })
    },

    /** The server fails, or its process dies, where a client certificate is presented; without one it answers. */
    identityWithheld(endpoint: string): void {
      log.warn('ICP server fails on our client certificate; no longer presenting it', { endpoint })
    },

    /** A server that named no workspace wants the client certificate. */
    identityPresented(endpoint: string): void {
      log.info('ICP server wants client certificates', { endpoint })
    },

    /** The server's clock was read from an answer; positive: it is ahead. */
    clockRead(skewMs: number): void {
      const fields = { skew_seconds: Math.round(skewMs / 1000) }
      const much = Math.abs(skewMs) > SKEW_WORTH_SAYING_MS
      if (much && !skewed) log.warn('The clocks of this machine and of the ICP server differ', fields)
      if (!much && skewed) log.info('The clocks of this machine and of the ICP server agree again', fields)
      skewed = much
    },
  }
}

export type ServerEvents = ReturnType<typeof serverEvents>

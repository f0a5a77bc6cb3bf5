import type { ErrorCode } from '../errors.js'
import type { Sinks } from './events.js'

const SKEW_WORTH_SAYING_MS = 30_000
const MAX_LISTED = 20

/** One exchange with the ICP server, retries included or not as the function says. */
export interface ExchangeEvent {
  readonly endpoint: string
  /** Monotonic milliseconds at its end. */
  readonly at: number
  readonly seconds: number
}

/**
 * What happens between the agent and the ICP server. A failure that repeats is said once as a warning, then at debug
 * while it lasts, and once more when it has ended.
 */
export const serverEvents = ({ log, metrics }: Sinks) => {
  const failing = new Map<string, { readonly since: number; readonly codes: Set<ErrorCode> }>()
  let skewed = false

  return {
    /** A request was answered with success. */
    answered({ endpoint, at, seconds }: ExchangeEvent): void {
      metrics.count('icp_agent_server_requests_total', { endpoint, outcome: 'ok' })
      metrics.observe('icp_agent_server_request_seconds', seconds, { endpoint })
      const failure = failing.get(endpoint)
      if (!failure) return
      failing.delete(endpoint)
      log.info('ICP server answers again', { endpoint, failed_for_seconds: (at - failure.since) / 1000 })
    },

    /** A request failed: no answer, or one that is an error. */
    failed({ endpoint, at, seconds }: ExchangeEvent, code: ErrorCode, message: string): void {
      metrics.count('icp_agent_server_requests_total', { endpoint, outcome: code })
      metrics.observe('icp_agent_server_request_seconds', seconds, { endpoint })
      const failure = failing.get(endpoint) ?? { since: at, codes: new Set() }
      failing.set(endpoint, failure)
      const fields = { endpoint, code, reason: message }
      if (failure.codes.has(code)) log.debug('ICP server request failed', fields)
      else log.warn('ICP server request failed', fields)
      failure.codes.add(code)
    },

    /** The server asked to slow down. */
    rateLimited(endpoint: string, tier: string, retryAfterMs: number): void {
      metrics.count('icp_agent_rate_limited_total', { tier })
      log.debug('ICP server limits the rate', { endpoint, tier, retry_after_seconds: retryAfterMs / 1000 })
    },

    /** The same request is sent again after a wait. */
    retrying(endpoint: string, code: ErrorCode, attempt: number, waitMs: number): void {
      log.debug('ICP server request is repeated', { endpoint, code, attempt, wait_seconds: waitMs / 1000 })
    },

    /** The server fails where a client certificate is presented and answers without. */
    identityWithheld(endpoint: string): void {
      log.warn('ICP server fails on client certificates and is asked without from now on', { endpoint })
    },

    /** The server wants the client certificate after all. */
    identityPresented(endpoint: string): void {
      log.info('ICP server wants client certificates again', { endpoint })
    },

    /** Entries of the last sync that cannot be used. Said whenever the server's answer changes. */
    entriesRejected(rejected: readonly { readonly id: string; readonly reason: string }[]): void {
      if (rejected.length === 0) return
      log.warn('Registration entries were rejected', { count: rejected.length, entries: rejected.slice(0, MAX_LISTED) })
    },

    /** The server's clock was read from an answer; positive: it is ahead. */
    clockRead(skewMs: number): void {
      const fields = { skew_seconds: Math.round(skewMs / 1000) }
      const much = Math.abs(skewMs) > SKEW_WORTH_SAYING_MS
      if (much && !skewed) log.warn('The clocks of this machine and of the ICP server differ', fields)
      if (!much && skewed) log.info('The clocks of this machine and of the ICP server agree again', fields)
      skewed = much
    },

    /** Shows the skew as a gauge for as long as the result is not disposed. */
    watchSkew(skew: () => number | null): Disposable {
      return metrics.gauge('icp_agent_server_clock_skew_seconds', () => {
        const now = skew()
        return now === null ? [] : [{ value: now / 1000 }]
      })
    },
  }
}

export type ServerEvents = ReturnType<typeof serverEvents>

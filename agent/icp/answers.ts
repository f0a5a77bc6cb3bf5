import { AgentError, type ErrorCode, type Tier } from '../errors.js'
import type { HttpResponse } from '../ports/http.js'
import { type ServerEndpoint, specOf } from './endpoints.js'
import { excerpt } from './excerpt.js'
import { type ErrorReply, parseError } from './wire.js'

/** An answer other than 200 (or 201), and what is needed to interpret it. */
export interface RefusedAnswer {
  readonly endpoint: ServerEndpoint
  readonly response: HttpResponse
  /** Sent values that must not appear in a message. */
  readonly secrets: readonly string[]
  /** Wall-clock milliseconds, for a Retry-After that is a date. */
  readonly now: number
}

interface AnswerMeaning {
  readonly code: ErrorCode
  readonly advice: string
}
type Special = AnswerMeaning & {
  readonly status: number | readonly number[]
  readonly endpoints: readonly ServerEndpoint[]
  readonly when: (reply: ErrorReply) => boolean
}

/** Endpoints at which the server identifies the agent. */
const OF_AN_AGENT: readonly ServerEndpoint[] = [
  'attest_node',
  'renew_agent',
  'entries',
  'sign_workload',
  'revoke_workload',
  'issue_jwt',
]
const SIGNING: readonly ServerEndpoint[] = ['attest_node', 'renew_agent', 'sign_workload']
/** Endpoints whose refusals are about an entry. */
const OF_AN_ENTRY: readonly ServerEndpoint[] = ['sign_workload', 'issue_jwt']
/** Statuses with an error of the CA: its own answer passed on, or wrapped by the handler (400 in older servers). */
const OF_THE_CA: readonly number[] = [400, 422, 500, 502, 503]
const ABOUT_THE_NAME = /common[ _-]?name|\bCN\b|(?:subject alternate name|email address)\b.*not allowed by this role/is
/** Messages about the CA of a handler that answers 400 for every error below it. */
const ABOUT_THE_CA =
  /\b(?:vault|openbao|pki)\b|\b(?:issue|issuing|issuance|sign|signing|generate|generating)\b[^:]*\b(?:certificate|svid|csr)\b/i
const ABOUT_THE_ENTRY = /not authorized|no workload entry/i
/** The wait after a 429 without Retry-After: the server's windows have a minute. */
const DEFAULT_RETRY_AFTER_MS = 60_000
/** Upper bound of Retry-After, because a proxy's mistake must not stop an agent for longer than its certificate lives. */
const MAX_RETRY_AFTER_MS = 3_600_000

/** Answers whose meaning also depends on their text; the first matching row is used. */
const SPECIAL: readonly Special[] = [
  {
    status: 403,
    endpoints: OF_AN_AGENT,
    when: ({ message }) => /agent is not active/i.test(message),
    code: 'icp.agent_inactive',
    advice: 'an administrator has revoked this agent; it takes a join token that was never used to come back',
  },
  {
    // Unlike the next row, this is about the certificate, as at other endpoints.
    status: 401,
    endpoints: ['issue_jwt'],
    when: ({ message }) => /could not be verified/i.test(message),
    code: 'icp.jwt_unauthorized',
    advice: "the CA that issued the agent's certificate is no longer the server's",
  },
  {
    status: 400,
    endpoints: SIGNING,
    when: ({ message }) => /CSR is required/i.test(message),
    code: 'icp.csr_dropped',
    advice: 'it ignores the CSR that it requires: upgrade the ICP server',
  },
  {
    status: 400,
    endpoints: ['sign_workload'],
    when: ({ message }) => /no workload entry matches/i.test(message),
    code: 'icp.no_match',
    advice: 'the entry was changed or deleted; the next sync brings the new state',
  },
  {
    // Other endpoints accept the certificate, so another certificate would not help.
    status: 401,
    endpoints: ['issue_jwt'],
    when: () => true,
    code: 'icp.jwt_unauthorized',
    advice: 'TLS must end at the server or its ingress must forward the client certificate',
  },
  {
    status: OF_THE_CA,
    endpoints: SIGNING,
    when: ({ message }) => ABOUT_THE_NAME.test(message) && !ABOUT_THE_ENTRY.test(message),
    code: 'icp.cn_refused',
    advice: 'set icp_service.csr_common_name to a name that the role of the PKI allows',
  },
  {
    status: [400, 422],
    endpoints: SIGNING,
    when: ({ message }) => ABOUT_THE_CA.test(message) && !ABOUT_THE_ENTRY.test(message),
    code: 'icp.server_error',
    advice: "its CA is unavailable or refuses the CSR: see the ICP server's log",
  },
  {
    status: [400, 403, 404, 409],
    endpoints: OF_AN_ENTRY,
    when: ({ code }) => code === 'INTERNAL_ERROR',
    code: 'icp.server_error',
    advice: "see the ICP server's log",
  },
  {
    status: [400, 403, 404, 409],
    endpoints: OF_AN_ENTRY,
    // Only the handler knows entries; proxies and the layers that check accounts and paths do not.
    when: ({ form }) => form !== 'handler',
    code: 'icp.bad_response',
    advice: 'this is not about the entry; check icp_service.address, its path included, and proxies in between',
  },
  {
    // This endpoint fails on servers that otherwise work; authorities also come with certificates.
    status: [404, 500, 501],
    endpoints: ['bundle'],
    when: () => true,
    code: 'icp.no_bundle',
    advice: 'the agent takes authorities from answers that issue certificates',
  },
  {
    status: 404,
    endpoints: ['revoke_workload'],
    // For an account that does not exist the message is "Not found".
    when: ({ message }) => /SVID not found/i.test(message),
    code: 'icp.svid_unknown',
    advice: 'the server deletes its record of an SVID with the entry: revoke there before the entry is deleted',
  },
  {
    status: 404,
    endpoints: ['sign_workload'],
    // A message about an account that does not exist is not about entries.
    when: ({ message }) => !/workspace|tenant/i.test(message),
    code: 'icp.no_match',
    advice: 'the entry was changed or deleted; the next sync brings the new state',
  },
]

const BY_STATUS: Readonly<Record<number, AnswerMeaning>> = {
  400: {
    code: 'icp.bad_request',
    advice: 'check agent.tenant_id, and that the versions of server and agent are compatible',
  },
  401: { code: 'icp.unauthorized', advice: 'the certificate of the agent is missing, expired or not accepted' },
  403: { code: 'icp.forbidden', advice: 'ask an administrator of the account' },
  404: { code: 'icp.not_found', advice: 'check agent.tenant_id and icp_service.address, its path included' },
  409: { code: 'icp.conflict', advice: 'ask an administrator of the account' },
  429: { code: 'icp.rate_limited', advice: 'all agents behind one address share the limit; the agent slows down' },
  502: { code: 'icp.server_error', advice: 'a proxy in front of the server cannot reach it' },
  503: { code: 'icp.server_error', advice: 'its PKI is not provisioned for the account, or its CA is unavailable' },
  504: { code: 'icp.server_error', advice: 'a proxy in front of the server cannot reach it' },
}

/** The error for an answer other than success, with `details.endpoint`, `.status` and, for 429, `.retryAfterMs`. */
export function errorOf(refusal: RefusedAnswer): AgentError {
  const { endpoint, response, secrets } = refusal
  const { status } = response
  if (status >= 300 && status < 400) return redirected(endpoint, response)
  const reply = parseError(response.body)
  const special = SPECIAL.find(
    (row) => [row.status].flat().includes(status) && row.endpoints.includes(endpoint) && row.when(reply),
  )
  const general = special ?? BY_STATUS[status] ?? fallback(status)
  const spec = specOf(endpoint)
  const advice = special?.advice ?? spec.advice?.[status] ?? general.advice
  const said = reply.form === 'none' ? describe(response) : `"${excerpt(reply.message, secrets)}"`
  const label = [String(status), excerpt(reply.code, secrets)].filter(Boolean).join(' ')
  const message = `${spec.name} was refused (${label}), ${said}: ${advice}`
  const details = { endpoint, status, ...(reply.code === '' ? {} : { serverCode: excerpt(reply.code) }) }
  if (status !== 429) return new AgentError(general.code, message, { details })
  const limited = { tier: tierMet(spec.tier, reply), retryAfterMs: retryAfterMs(refusal) }
  return new AgentError('icp.rate_limited', message, { details: { ...details, ...limited } })
}

/** The error for a successful status with an invalid body. */
export function badResponse(
  endpoint: ServerEndpoint,
  response: HttpResponse,
  reason: string,
  cause?: unknown,
): AgentError {
  return new AgentError(
    'icp.bad_response',
    `${specOf(endpoint).name}: the answer (${describe(response)}) is not what the ICP server sends: ${reason}`,
    { ...(cause === undefined ? {} : { cause }), details: { endpoint, status: response.status } },
  )
}

/** Milliseconds of Retry-After, in seconds or as a date (RFC 9110 10.2.3), at most an hour; null if absent. */
export function retryAfterOf(response: HttpResponse, now: number): number | null {
  const value = response.headers['retry-after']?.trim() ?? ''
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - now
  return Number.isNaN(ms) ? null : Math.min(MAX_RETRY_AFTER_MS, Math.max(0, ms))
}

function retryAfterMs({ response, now }: RefusedAnswer): number {
  return retryAfterOf(response, now) ?? DEFAULT_RETRY_AFTER_MS
}

/** The tier of a 429: the service-wide limit answers in the string form, the handlers' tiers in the object form. */
function tierMet(tier: Tier, reply: ErrorReply): Tier {
  return reply.form === 'handler' ? tier : 'service'
}

function fallback(status: number): AnswerMeaning {
  if (status >= 500) return { code: 'icp.server_error', advice: "see the ICP server's log" }
  if (status >= 400) return { code: 'icp.bad_request', advice: 'check icp_service.address, its path included' }
  return { code: 'icp.bad_response', advice: 'check icp_service.address, its path included' }
}

function redirected(endpoint: ServerEndpoint, response: HttpResponse): AgentError {
  // Query and user information may contain secrets.
  const target = (response.headers['location'] ?? '').replace(/[?#].*$/s, '').replace(/\/\/[^/]*@/, '//')
  return new AgentError(
    'icp.bad_response',
    `${specOf(endpoint).name} was redirected (${response.status}) to "${excerpt(target)}": ` +
      'set icp_service.address to the final address',
    { details: { endpoint, status: response.status } },
  )
}

/** Content type and length instead of the content, which may contain anything. */
function describe({ headers, body }: HttpResponse): string {
  return `${excerpt(headers['content-type'] ?? 'no content type')}, ${body.length} bytes`
}

/**
 * The one error class of the agent. Codes are a closed list: an operator can look each one up in docs/errors.md, and
 * code decides by the code, never by the text. A message says what is wrong and what to do, and never holds a secret.
 */
export const ERROR_CODES = {
  'config.invalid': 'The configuration cannot be used; every problem is listed.',
  'kernel.unsupported': 'This kernel or Node cannot tell the agent who calls; the agent does not start.',
  'caller.unidentified': 'The kernel did not say who is calling.',
  'caller.foreign_pid_namespace': 'The caller lives in a PID namespace that the agent cannot see (pid 0).',
  'caller.exited': 'The process that opened the connection has ended.',
  'caller.executable_changed': 'The process runs another program than when it connected.',
  'caller.ids_changed': 'The ids of the process differ from those that the kernel gave when it connected.',
  'attestation.failed': 'No workload attestor could attest the caller.',
  'attestation.platform_missing': 'A platform that an entry needs (engine, API) does not answer.',
  'attestation.timeout': 'Attestation took longer than its deadline.',
  'agent.starting': 'The agent has no registration entries yet.',
  'agent.stopping': 'The agent is stopping.',
  'agent.locked_out': 'The server wants a fresh join token before this node may attest again.',
  'agent.token_consumed': 'The join token was used up by an attempt whose answer was lost or failed.',
  'agent.certificate_refused': 'The ICP server accepts no certificate of the agent, although they are valid.',
  'agent.no_identity': 'The agent has no valid SVID of its own yet.',
  'agent.already_running': 'Another agent holds this data directory or socket.',
  'entry.none': 'No registration entry matches the caller.',
  'entry.shadowed': 'The ICP server always issues another entry instead of this one.',
  'entry.trust_domain': 'The entry is in another trust domain than the SVIDs that the server issues.',
  'entry.not_entitled': 'The caller is not entitled to the SPIFFE ID that it asks for.',
  'svid.pending': 'The SVID has not been issued yet.',
  'svid.expired': 'The SVID has expired and could not be renewed.',
  'svid.invalid': 'A certificate breaks a rule of X.509-SVIDs.',
  'svid.issuer_unknown': 'The issuer of a certificate is in no bundle.',
  'jwt.invalid': 'A JWT-SVID does not validate.',
  'spiffe_id.invalid': 'A SPIFFE ID is malformed.',
  'entry.invalid': 'A registration entry is malformed.',
  'request.invalid': 'A request can never succeed.',
  'request.too_many': 'A limit on connections or streams is reached.',
  'icp.unreachable': 'The ICP server cannot be reached.',
  'icp.timeout': 'The ICP server did not answer in time.',
  'icp.tls': 'The TLS handshake with the ICP server failed.',
  'icp.bad_response': 'The answer is not one of the ICP server.',
  'icp.too_large': 'The answer of the ICP server is larger than allowed.',
  'icp.bad_request': 'The ICP server refused the request as malformed (400).',
  'icp.unauthorized': 'The ICP server does not accept the credentials (401).',
  'icp.jwt_unauthorized': 'The ICP server sees no client certificate when it is asked for a JWT-SVID (401).',
  'icp.forbidden': 'The ICP server forbids the request (403).',
  'icp.agent_inactive': 'An administrator has made the agent inactive on the ICP server (403).',
  'icp.not_found': 'The ICP server knows no such object (404).',
  'icp.conflict': 'The ICP server sees a conflict (409).',
  'icp.rate_limited': 'The ICP server limits the rate of requests (429).',
  'icp.server_error': 'The ICP server or its CA failed (5xx, or a 400 that says so).',
  'icp.csr_dropped': 'The ICP server drops the CSR that it demands; it must be upgraded.',
  'icp.no_bundle': 'The ICP server does not publish its bundle.',
  'icp.svid_unknown': 'The ICP server has no record of the SVID that is to be revoked.',
  'icp.no_match': 'The ICP server finds no entry for the selectors.',
  'icp.cn_refused': 'The certificate authority refused the common name of the CSR.',
  'platform.unavailable': 'A platform API (container engine, Kubernetes, systemd) does not answer.',
  'file.unsafe': 'Other users could tamper with a file or directory.',
  'file.io': 'A file could not be read or written.',
  'file.too_large': 'A file is larger than allowed.',
  'file.broken': 'A file that the agent rereads has unusable content.',
  'audit.unavailable': 'The audit log cannot be written, and `audit.fail_closed` holds what would not be recorded.',
  'health.unavailable': 'The port or Unix socket for health, status and metrics cannot be opened.',
  'cache.rejected': 'The sealed cache cannot be trusted.',
  'client.address_invalid': 'The address of a Workload API is malformed.',
  'client.unreachable': 'No agent answers on the Workload API socket.',
  'client.denied': 'The agent has no identity for this process.',
  'client.unavailable': 'The agent cannot answer the call now.',
  'client.unimplemented': 'The agent does not offer this method.',
  'client.bad_response': 'The answer is not one of an agent.',
  'client.timeout': 'The agent did not answer in time.',
  'client.peer_refused': 'The peer of a TLS connection is not authorized.',
  'admin.unavailable': 'The admin socket cannot be opened.',
  'admin.unreachable': 'No agent answers on the admin socket.',
  'admin.forbidden': 'This user may not use the admin socket.',
  'admin.not_found': 'What an administrator asks for is not there.',
  'admin.bad_response': 'The answer is not one of this version of the admin API.',
  'command.misused': 'The command line is wrong.',
  'command.failed': 'A program, or an action after a rotation, failed.',
  internal: 'A defect of the agent itself.',
} as const satisfies Record<string, string>

export type ErrorCode = keyof typeof ERROR_CODES

/** Transport failures: no HTTP response of the ICP server was received. */
export const SILENCE: ReadonlySet<ErrorCode> = new Set(['icp.unreachable', 'icp.timeout', 'icp.tls'])

/** Rate limits of the ICP server; see `icp/limits.ts`. */
export type Tier = 'bootstrap' | 'standard' | 'sensitive' | 'service'

/** Details of an HTTP exchange without a complete answer. */
export interface ExchangeDetails {
  readonly address?: string
  /** The code of the library or the system, or the status of a proxy. */
  readonly reason?: string | number
  readonly proxy?: string
  /** The handshake failed because of the client certificate. */
  readonly clientCertificate?: boolean
}

/** Details of a request to the ICP server. */
export interface ServerDetails extends ExchangeDetails {
  readonly endpoint?: string
  /** The HTTP status. */
  readonly status?: number
  /** The code in the server's answer. */
  readonly serverCode?: string
}

/** Details of a call of the Workload API: the name of the gRPC status, and the denial id from the agent. */
interface CallDetails {
  readonly status?: string | undefined
  readonly denialId?: string
}

/** The rule that is broken. */
interface RuleDetails {
  readonly check?: string
}

/** Every problem of a configuration, as in `config/problem.ts`. */
interface ConfigDetails {
  readonly problems?: readonly ConfigProblem[]
  readonly warnings?: readonly ConfigProblem[]
}

/** The shape of `Problem` in `config/problem.ts`: this file imports nothing. */
interface ConfigProblem {
  readonly key: string
  readonly source: string
  readonly problem: string
  readonly remedy: string
}

/** The details of an error, by code; all are logged, and code depends on some. */
interface DetailsByCode extends Readonly<Record<ServerErrorCode, ServerDetails>> {
  /** Which limit was exceeded, and how long to wait. */
  'icp.rate_limited': ServerDetails & { readonly tier: Tier; readonly retryAfterMs: number }
  /** The server's answer to the attestation. */
  'agent.locked_out': ServerDetails
  'agent.token_consumed': ServerDetails
  'entry.trust_domain': ServerDetails
  /** The SPIFFE ID that the server issued instead. */
  'entry.shadowed': { readonly issued: string }
  'svid.invalid': RuleDetails
  /** With the result of the request for the bundle, if there was one. */
  'svid.issuer_unknown': RuleDetails & ServerDetails
  'jwt.invalid': RuleDetails
  /** Why `/proc` cannot be read. */
  'caller.unidentified': { readonly reason?: string }
  /** The path, and the error of the system. */
  'file.io': { readonly path?: string; readonly errno?: string }
  /** `at`: the directory above it that is unsafe. */
  'file.unsafe': { readonly path?: string; readonly at?: string; readonly state?: string }
  'file.too_large': { readonly path?: string; readonly maxBytes?: number }
  'file.broken': { readonly path?: string | undefined }
  'config.invalid': ConfigDetails
  /** The HTTP status, how long to stay away, and whether an answer began and broke off. */
  'platform.unavailable': ExchangeDetails & {
    readonly status?: number
    readonly retryAfterMs?: number
    readonly brokeOff?: boolean
  }
  'request.invalid': CallDetails
  'request.too_many': CallDetails
  'client.denied': CallDetails
  'client.unavailable': CallDetails
  'client.unimplemented': CallDetails
  'client.timeout': CallDetails
  /** `reason`: the code of the fault in the answer. */
  'client.bad_response': CallDetails & { readonly reason?: string }
  /** The errno of the failed connection. */
  'client.unreachable': { readonly errno?: string }
  /** The code of the broken rule, or the SPIFFE ID that is not authorized. */
  'client.peer_refused': { readonly reason?: string; readonly peer?: string }
  /** Of a program that could not be started, as shells have it. */
  'command.failed': { readonly exitCode?: number }
}

/** The codes of what the ICP server answers, or does not. */
export type ServerErrorCode = Extract<ErrorCode, `icp.${string}`>

/** Codes without a row have no details. */
export type DetailsOf<C extends ErrorCode> = C extends keyof DetailsByCode
  ? DetailsByCode[C]
  : Readonly<Record<string, never>>

interface ErrorOptions<C extends ErrorCode> {
  readonly cause?: unknown
  readonly details?: DetailsOf<C>
}

/** Details that must be there make the options required. */
type OptionsOf<C extends ErrorCode> =
  Readonly<Record<never, never>> extends DetailsOf<C>
    ? [options?: ErrorOptions<C>]
    : [options: ErrorOptions<C> & Required<Pick<ErrorOptions<C>, 'details'>>]

/** Any failure that is not a programming mistake (those are TypeErrors). `details` is logged as fields. */
export class AgentError<C extends ErrorCode = ErrorCode> extends Error {
  override readonly name = 'AgentError'
  readonly details: DetailsOf<C>

  constructor(
    readonly code: C,
    message: string,
    ...[options]: OptionsOf<C>
  ) {
    super(message, options && 'cause' in options ? { cause: options.cause } : undefined)
    // Without options the type says that nothing has to be in them.
    this.details = options?.details ?? ({} as DetailsOf<C>)
  }

  /** As for any class; it is here for its type, without which `instanceof` would make of the code `any`. */
  static override [Symbol.hasInstance](value: unknown): value is AgentError {
    return Function.prototype[Symbol.hasInstance].call(AgentError, value)
  }
}

/** An error of this code, whose details are known by it. */
export function isError<C extends ErrorCode>(error: unknown, code: C): error is AgentError<C> {
  return error instanceof AgentError && error.code === code
}

/** An error of a request to the ICP server. */
export function isServerError(error: unknown): error is AgentError<ServerErrorCode> {
  return error instanceof AgentError && error.code.startsWith('icp.')
}

/** The code of any thrown value; `internal` if it is not an AgentError. */
export function codeOf(error: unknown): ErrorCode {
  return error instanceof AgentError ? error.code : 'internal'
}

/** A one-line text of any thrown value, fit for a log. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}

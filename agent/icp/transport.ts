import { AgentError, type ServerErrorCode } from '../errors.js'
import { HttpError, type HttpFailure, type HttpPeer } from '../ports/http.js'

/** The server's name in errors of the HTTP client, and the settings that their advice names. */
export const ICP_SERVER: HttpPeer = {
  name: 'the server',
  addressSetting: 'icp_service.address',
  trustSetting: 'icp_service.trust_bundle_path',
}

const CODES: Readonly<Record<HttpFailure, ServerErrorCode>> = {
  unreachable: 'icp.unreachable',
  timeout: 'icp.timeout',
  tls: 'icp.tls',
  too_large: 'icp.too_large',
  not_http: 'icp.bad_response',
}

/** Converts an HttpError to `icp.*`; other errors are unchanged. */
export function icpError(error: unknown): unknown {
  if (!(error instanceof HttpError)) return error
  const { failure, message, cause, details } = error
  return new AgentError(CODES[failure], message, { ...(cause === undefined ? {} : { cause }), details })
}

import { status } from '@grpc/grpc-js'
import { AgentError, type ErrorCode, messageOf } from '../errors.js'
import { addressOf, type Endpoint } from './address.js'

/** The error code of each gRPC status; any other status is `client.bad_response` (Workload Endpoint 6). */
const MEANING: Partial<Record<status, ErrorCode>> = {
  [status.INVALID_ARGUMENT]: 'request.invalid',
  [status.PERMISSION_DENIED]: 'client.denied',
  [status.UNIMPLEMENTED]: 'client.unimplemented',
  [status.RESOURCE_EXHAUSTED]: 'request.too_many',
  [status.DEADLINE_EXCEEDED]: 'client.timeout',
  [status.UNAVAILABLE]: 'client.unavailable',
  // The agent ended without GOAWAY; a later call can succeed.
  [status.CANCELLED]: 'client.unavailable',
}

/** Why the socket could not be connected to, by errno. */
const UNREACHABLE: Readonly<Record<string, string>> = {
  ENOENT: 'the socket does not exist',
  ECONNREFUSED: 'no process listens there',
  EACCES: 'this user may not open it or enter its directory',
  ENOTSOCK: 'it is not a socket',
  EAGAIN: 'too many connections already wait there',
}

/** Failures after which a later call can succeed. InvalidArgument and Unimplemented are final. */
const PASSING: ReadonlySet<ErrorCode> = new Set([
  'client.unreachable',
  'client.unavailable',
  'client.denied',
  'client.bad_response',
  'client.timeout',
  'request.too_many',
])

const MAX_TEXT = 1000

/**
 * The error of a failed call. `details` has `status` (the name of the gRPC status), `denialId` if the agent sent one, and
 * `errno` if no connection was made.
 */
export function callError(error: unknown, endpoint: Endpoint): AgentError {
  if (error instanceof AgentError) return error
  const { code, text } = statusOf(error)
  if (code === null) {
    return new AgentError('client.bad_response', `the call failed: ${messageOf(error)}`, { cause: error })
  }
  const errno =
    code === status.UNAVAILABLE ? /No connection established.*?\b(E[A-Z]{3,})\b/s.exec(text)?.[1] : undefined
  if (errno !== undefined) {
    const reason = UNREACHABLE[errno] ?? `connecting to it failed (${errno})`
    return unreachable(endpoint, reason, { cause: error, details: { errno } })
  }
  if (code === status.UNAVAILABLE && /^No connection established\. Last error: Protocol error/.test(text)) {
    return unreachable(endpoint, 'the process that listens there does not speak gRPC', { cause: error })
  }
  const denialId = /\(denial ([0-9a-f]{1,64})\b/.exec(text)?.[1]
  return new AgentError(MEANING[code] ?? 'client.bad_response', `the agent answered: ${text || status[code]}`, {
    cause: error,
    details: { status: status[code], ...(denialId === undefined ? {} : { denialId }) },
  })
}

/** Something accepts the connection, and then does not say a word of HTTP/2. */
export function silentError(endpoint: Endpoint, ms: number): AgentError {
  const what = `it accepts connections and has said nothing for ${ms / 1000} s: the agent hangs or is stopped, or it is no agent`
  return unreachable(endpoint, what, {})
}

function unreachable(
  endpoint: Endpoint,
  reason: string,
  more: { readonly cause?: unknown; readonly details?: { readonly errno: string } },
): AgentError {
  return new AgentError('client.unreachable', `no agent answers at ${addressOf(endpoint)}: ${reason}`, more)
}

/** True for a failure after which the same call can succeed later. */
export function mayPass(error: unknown): error is AgentError {
  return error instanceof AgentError && PASSING.has(error.code)
}

function statusOf(error: unknown): { code: status | null; text: string } {
  if (!(error instanceof Error) || !('code' in error) || !('details' in error)) return { code: null, text: '' }
  const { code, details } = error
  if (typeof code !== 'number' || !(code in status)) return { code: null, text: '' }
  return { code, text: typeof details === 'string' ? details.slice(0, MAX_TEXT) : '' }
}

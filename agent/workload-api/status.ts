import { status } from '@grpc/grpc-js'
import type { ErrorCode } from '../errors.js'

/**
 * The gRPC status of each refusal. InvalidArgument ends a go-spiffe watch for good, so it is used only for calls that can
 * never succeed; PermissionDenied means that the caller has no identity; others are Unavailable, after which clients retry.
 */
const STATUS: Partial<Record<ErrorCode, status>> = {
  'request.invalid': status.INVALID_ARGUMENT,
  'spiffe_id.invalid': status.INVALID_ARGUMENT,
  'jwt.invalid': status.INVALID_ARGUMENT,
  'caller.foreign_pid_namespace': status.PERMISSION_DENIED,
  'caller.exited': status.PERMISSION_DENIED,
  'caller.executable_changed': status.PERMISSION_DENIED,
  'caller.ids_changed': status.PERMISSION_DENIED,
  'entry.none': status.PERMISSION_DENIED,
  'entry.not_entitled': status.PERMISSION_DENIED,
  'entry.shadowed': status.PERMISSION_DENIED,
  'icp.no_match': status.PERMISSION_DENIED,
  'request.too_many': status.RESOURCE_EXHAUSTED,
}

export function statusOf(code: ErrorCode): status {
  return STATUS[code] ?? status.UNAVAILABLE
}

/**
 * True for a refusal because of who the caller is; it gets a denial id and a log line. A process that has exited is not
 * denied: Go programs exit with their connection open once they have their answer.
 */
export function isDenial(code: ErrorCode): boolean {
  return statusOf(code) === status.PERMISSION_DENIED && code !== 'caller.exited'
}

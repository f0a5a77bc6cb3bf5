import type { ErrorCode } from '../errors.js'

/** A renewal that fails like this leads to node attestation. */
export const RENEWAL_REFUSED: ReadonlySet<ErrorCode> = new Set(['icp.unauthorized', 'icp.forbidden', 'icp.not_found'])
/** A node attestation that fails like this goes on failing until an administrator does something. */
export const LOCKED_OUT: ReadonlySet<ErrorCode> = new Set([
  'icp.unauthorized',
  'agent.locked_out',
  'agent.token_consumed',
])

import { type ErrorCode, SILENCE } from '../errors.js'

/**
 * The cause of a failed issuance. `entry`: the server refused this entry, and an early retry would be refused too.
 * `agent`: the server refuses every request of this agent. `no-answer`: the server did not answer. `unclear`: the entry
 * or the server; only the results of other entries show which.
 */
export type FailureClass = 'entry' | 'agent' | 'no-answer' | 'unclear'

const CLASSES: Partial<Record<ErrorCode, FailureClass>> = {
  'icp.no_match': 'entry',
  'icp.bad_request': 'entry',
  'icp.forbidden': 'entry',
  'icp.conflict': 'entry',
  'entry.shadowed': 'entry',
  'entry.trust_domain': 'entry',
  'icp.unauthorized': 'agent',
  'icp.agent_inactive': 'agent',
  'agent.no_identity': 'no-answer',
}

export function failureClass(code: ErrorCode): FailureClass {
  if (SILENCE.has(code)) return 'no-answer'
  return CLASSES[code] ?? 'unclear'
}

import { type ErrorCode, SILENCE } from '../errors.js'

/**
 * Whom a failed issuance speaks of. `entry`: a refusal of this entry, certain as soon as it is heard; asking again soon
 * would say the same. `agent`: the server refuses whatever this agent asks. `no-answer`: the server did not answer.
 * `unclear`: the entry or the server, which only the fate of other entries tells.
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

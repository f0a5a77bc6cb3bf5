import { AgentError } from '../../agent/errors.js'
import type { Deadline } from '../../agent/lib/deadline.js'

/** How long a complete answer of Kubernetes may take; `platform.unavailable` after that. */
export function answerWithin(ms: number): Deadline {
  return {
    ms,
    late: () => new AgentError('platform.unavailable', `Kubernetes gave no complete answer within ${ms / 1000} s`),
  }
}

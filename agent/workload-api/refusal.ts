import type { StatusObject } from '@grpc/grpc-js'
import { Metadata } from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Refusal } from './decision.js'
import { isDenial, statusOf } from './status.js'
import type { Workload } from './workload.js'

/** The page that says how to register a workload. */
const REGISTER = '; docs/register.md tells how to register it'

/** How an administrator of the node resolves the id; the caller cannot. */
const whereToLook = (id: string) => `an administrator sees why with icp-agent explain --denial ${id}`

/** The status is sent in a header, and clients reject long headers. */
const MAX_MESSAGE_CHARACTERS = 1_000

/** A status in the form of grpc-js: an error that is also a status. Its message is short, well-formed Unicode. */
export function grpcError(refusal: Refusal): Error & StatusObject {
  const cut = refusal.message.slice(0, MAX_MESSAGE_CHARACTERS)
  // grpc-js encodes it by encodeURI, which throws at a lone surrogate.
  const details = Buffer.from(cut, 'utf8').toString('utf8')
  return Object.assign(new Error(details), { code: statusOf(refusal.code), details, metadata: new Metadata() })
}

/**
 * The status of a refusal. A denial carries an id that the log and `icp-agent explain` resolve; its message never contains
 * the selectors that the agent found or that an entry requires.
 */
export function refusalStatus(
  refusal: Refusal,
  workload: Workload,
  method: Method,
  events: ApiEvents,
): Error & StatusObject {
  if (!isDenial(refusal.code)) {
    events.refused(method, refusal, workload.caller)
    return grpcError(refusal)
  }
  const denial = workload.denial(refusal)
  events.denied(method, refusal, denial)
  return grpcError({
    code: refusal.code,
    message: `${refusal.message} (denial ${denial.id}; ${whereToLook(denial.id)}${refusal.code === 'entry.none' ? REGISTER : ''})`,
  })
}

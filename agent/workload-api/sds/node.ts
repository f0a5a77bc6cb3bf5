import type { Node } from '../../../proto/gen/envoy/core_pb.js'
import type { Validation } from './secrets.js'

/** The last Envoy without a SPIFFE validator is 1.17. */
const LAST_WITHOUT = { major: 1, minor: 17 }
const FLAG = 'disable_spiffe_cert_validation'
/** The values that Go, and therefore SPIRE, parses as true. */
const TRUE = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])

/** How an Envoy verifies its peers, by its node message: an old one, or one with the flag set, gets CA certificates only. */
export function validationOf({ metadata, userAgentBuildVersion }: Node): Validation {
  const flag = metadata?.fields[FLAG]?.kind
  if (flag?.case === 'boolValue' ? flag.value : flag?.case === 'stringValue' && TRUE.has(flag.value)) return 'plain'
  const version = userAgentBuildVersion?.version
  const old = version?.majorNumber === LAST_WITHOUT.major && version.minorNumber <= LAST_WITHOUT.minor
  return old ? 'plain' : 'spiffe'
}

import { authsecDialect } from './dialects/authsec.js'
import { spiffeDialect } from './dialects/spiffe.js'
import type { JwtCalls } from './jwt-calls.js'
import type { Service } from './service.js'
import type { Streams } from './streams.js'

/** The Workload API in both dialects. */
export function workloadApiServices(
  streams: Streams,
  jwt: JwtCalls,
  limits: Pick<Service, 'maxMessageBytes' | 'streamsPerConnection'>,
): readonly Service[] {
  return [spiffeDialect, authsecDialect].map((dialect) => ({
    definition: dialect.service,
    callers: 'identified',
    requiresHeader: dialect.requiresHeader,
    maxMessageBytes: limits.maxMessageBytes,
    streamsPerConnection: limits.streamsPerConnection,
    handlers: {
      FetchX509SVID: streams.handler(streams.x509Svids(dialect)),
      FetchX509Bundles: streams.handler(streams.x509Bundles(dialect)),
      FetchJWTSVID: jwt.fetch(dialect),
      FetchJWTBundles: streams.handler(streams.jwtBundles(dialect)),
      ValidateJWTSVID: jwt.validate(dialect),
    },
  }))
}

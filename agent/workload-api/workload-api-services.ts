import { authsecDialect } from './dialects/authsec.js'
import { spiffeDialect } from './dialects/spiffe.js'
import type { JwtCalls } from './jwt-calls.js'
import type { Handler, Identified, Service } from './service.js'
import type { StreamKind } from './stream.js'
import type { Streams } from './streams.js'

/** The Workload API in both dialects. */
export function workloadApiServices(
  streams: Streams,
  jwt: JwtCalls,
  limits: Pick<Service, 'maxMessageBytes' | 'streamsPerConnection'>,
): readonly Service[] {
  const stream = (kind: StreamKind): Handler<Identified> => ({
    stream: (call, workload, connection) => void streams.serve(call, kind, workload, connection),
  })
  return [spiffeDialect, authsecDialect].map((dialect) => ({
    definition: dialect.service,
    callers: 'identified',
    requiresHeader: dialect.requiresHeader,
    maxMessageBytes: limits.maxMessageBytes,
    streamsPerConnection: limits.streamsPerConnection,
    handlers: {
      FetchX509SVID: stream(streams.x509Svids(dialect)),
      FetchX509Bundles: stream(streams.x509Bundles(dialect)),
      FetchJWTSVID: jwt.fetch(dialect),
      FetchJWTBundles: stream(streams.jwtBundles(dialect)),
      ValidateJWTSVID: jwt.validate(dialect),
    },
  }))
}

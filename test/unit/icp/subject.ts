import { createIcpClient, type IcpClient } from '../../../agent/icp/client.js'
import type { ClientCertificates } from '../../../agent/icp/client-certificates.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import { serverEvents } from '../../../agent/observability/server-events.js'
import type { HttpClient } from '../../../agent/ports/http.js'
import type { RequestTracing } from '../../../agent/ports/tracing.js'
import { FakeClock } from '../../fakes/clock.js'
import { TENANT } from '../../fakes/control-plane.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'

export const SIGNAL = new AbortController().signal
export const ADDRESS = 'https://icp.example.org/spiresvc'

export interface ClientSubject {
  readonly client: IcpClient
  readonly clock: FakeClock
  readonly sinks: RecordedSinks
  readonly limiter: RateLimiter
}

/** A client over the given HttpClient, with a clock that stands still and jitter in the middle of its range. */
export function clientOver(
  http: HttpClient,
  settings: { maxRetries?: number; certificates?: ClientCertificates; tracing?: RequestTracing } = {},
): ClientSubject {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const limiter = new RateLimiter(clock, fixedRandom(0))
  const client = createIcpClient({
    settings: { address: ADDRESS, timeoutMs: 30_000, maxRetries: settings.maxRetries ?? 3, retryBackoffMs: 5000 },
    tenantId: TENANT,
    nodeId: 'node-1',
    http,
    limiter,
    reachability: new ServerReachability(clock),
    clock,
    random: fixedRandom(0.5),
    events: serverEvents(sinks, clock),
    tracing: settings.tracing,
    ...(settings.certificates ? { certificates: settings.certificates } : {}),
  })
  return { client, clock, sinks, limiter }
}

import { Budget } from '../../../agent/icp/budget.js'
import { createIcpClient, type IcpClient } from '../../../agent/icp/client.js'
import type { ClientCertificates } from '../../../agent/icp/client-certificates.js'
import { serverEvents } from '../../../agent/observability/server-events.js'
import type { HttpClient } from '../../../agent/ports/http.js'
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
  readonly budget: Budget
}

/** A client over the given HttpClient, with a clock that stands still and jitter in the middle of its range. */
export function clientOver(
  http: HttpClient,
  settings: { maxRetries?: number; certificates?: ClientCertificates } = {},
): ClientSubject {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const budget = new Budget(clock, fixedRandom(0))
  const client = createIcpClient({
    settings: { address: ADDRESS, timeoutMs: 30_000, maxRetries: settings.maxRetries ?? 3, retryBackoffMs: 5000 },
    tenantId: TENANT,
    nodeId: 'node-1',
    http,
    budget,
    clock,
    random: fixedRandom(0.5),
    events: serverEvents(sinks, clock),
    ...(settings.certificates ? { certificates: settings.certificates } : {}),
  })
  return { client, clock, sinks, budget }
}

import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace'
import { expect, test } from 'vitest'
import { Traces } from '../../../agent/telemetry/traces.js'
import { FakeClock } from '../../fakes/clock.js'

function world(propagate: boolean) {
  const exporter = new InMemorySpanExporter()
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor({ exporter })] })
  const traces = new Traces(provider.getTracer('test'), new FakeClock(), propagate)
  return { traces, spans: () => exporter.getFinishedSpans() }
}

const caller = { pid: 1, uid: 2, gid: 3 }

test('a request names its span to the server only where that is configured', () => {
  const { traces, spans } = world(true)
  const request = traces.begin('entries')
  request.end('ok')
  const { traceId, spanId } = spans()[0]?.spanContext() ?? {}
  expect(request.headers).toEqual({ traceparent: `00-${traceId}-${spanId}-01` })
  expect(world(false).traces.begin('entries').headers).toEqual({})
})

test('what happens to one caller is one trace, and two callers with the same ids are two', () => {
  const { traces, spans } = world(false)
  const other = { ...caller }
  traces.callerAccepted(caller)
  traces.callerAccepted(other)
  traces.attestorAsked(caller, 'unix', 5, 'ok')
  traces.decided(other, 'FetchX509SVID', 'hold', 'svid.pending')
  const [first, second, attestor, decided] = spans()
  expect(attestor?.parentSpanContext?.spanId).toBe(first?.spanContext().spanId)
  expect(decided?.parentSpanContext?.spanId).toBe(second?.spanContext().spanId)
  expect(first?.spanContext().traceId).not.toBe(second?.spanContext().traceId)
})

test('a span that is made when it is over begins when the work began, and bears its error code', () => {
  const { traces, spans } = world(false)
  traces.issuanceEnded('x509', 'e1', 1_500, 'icp.server_error')
  const [span] = spans()
  expect(span?.duration).toEqual([1, 500_000_000])
  expect(span?.status).toMatchObject({ message: 'icp.server_error' })
})

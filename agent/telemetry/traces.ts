import {
  type Attributes,
  type Context,
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from '@opentelemetry/api'
import type { CallerIds, Denied, Observer, Served, ServedX509, ShownJwt } from '../observability/observer.js'
import type { Clock } from '../ports/clock.js'
import type { RequestTracing } from '../ports/tracing.js'

/**
 * Spans from the events of the agent. One trace for each connection, from accept over attestation and decision to the
 * first message; later events of the connection are in the same trace. Issuances and requests to the ICP server are traces
 * of their own, because one issuance serves many callers. Most spans are created at their end from measured times.
 */
export class Traces implements Observer, RequestTracing {
  /** The trace context of each caller object. */
  readonly #callers = new WeakMap<CallerIds, Context>()

  constructor(
    private readonly tracer: Tracer,
    private readonly clock: Pick<Clock, 'now'>,
    private readonly propagate: boolean,
  ) {}

  callerAccepted(caller: CallerIds): void {
    this.#contextOf(caller)
  }

  attestorAsked(caller: CallerIds, attestor: string, ms: number, outcome: string): void {
    this.#span('workload.attestor', this.#contextOf(caller), ms, outcome, { 'icp.attestor': attestor })
  }

  workloadAttested(caller: CallerIds, ms: number, outcome: string): void {
    this.#span('workload.attest', this.#contextOf(caller), ms, outcome, {})
  }

  decided(caller: CallerIds, method: string, decision: string, code: string | null): void {
    const attributes = { 'rpc.method': method, 'icp.decision': decision }
    this.#span('workload.decide', this.#contextOf(caller), 0, code ?? 'ok', attributes)
  }

  pushed(caller: CallerIds, method: string, ms: number): void {
    this.#span('workload.push', this.#contextOf(caller), ms, 'ok', { 'rpc.method': method })
  }

  x509Served(to: Served, svids: readonly ServedX509[]): void {
    const ids = svids.map(({ svid }) => svid.spiffeId.uri)
    this.#span('workload.serve', this.#contextOf(to.caller), 0, 'ok', { 'icp.svid': 'x509', 'icp.spiffe_ids': ids })
  }

  jwtServed(to: Served, svids: readonly ShownJwt[]): void {
    const ids = svids.map(({ spiffeId }) => spiffeId.uri)
    this.#span('workload.serve', this.#contextOf(to.caller), 0, 'ok', { 'icp.svid': 'jwt', 'icp.spiffe_ids': ids })
  }

  denied(caller: CallerIds, _selectors: unknown, { id, method, code }: Denied): void {
    const attributes = { 'process.pid': caller.pid, 'rpc.method': method, 'icp.denial_id': id }
    this.#span('workload.deny', ROOT_CONTEXT, 0, code, attributes)
  }

  issuanceEnded(kind: 'x509' | 'jwt', entryId: string, ms: number, outcome: string): void {
    this.#span('svid.issue', ROOT_CONTEXT, ms, outcome, { 'icp.svid': kind, 'icp.entry_id': entryId })
  }

  begin(endpoint: string) {
    const span = this.tracer.startSpan(
      'icp.request',
      { kind: SpanKind.CLIENT, attributes: { 'icp.endpoint': endpoint } },
      ROOT_CONTEXT,
    )
    const { traceId, spanId, traceFlags } = span.spanContext()
    const traceparent = `00-${traceId}-${spanId}-${(traceFlags & 1).toString(16).padStart(2, '0')}`
    return {
      headers: this.propagate ? { traceparent } : {},
      end: (outcome: string) => {
        span.setAttribute('icp.outcome', outcome)
        if (outcome !== 'ok') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome })
        span.end()
      },
    }
  }

  #contextOf(caller: CallerIds): Context {
    const known = this.#callers.get(caller)
    if (known) return known
    const { pid, uid, gid } = caller
    const attributes = { 'process.pid': pid, 'icp.uid': uid, 'icp.gid': gid }
    const span = this.tracer.startSpan('workload.accept', { kind: SpanKind.SERVER, attributes }, ROOT_CONTEXT)
    span.end()
    const context = trace.setSpan(ROOT_CONTEXT, span)
    this.#callers.set(caller, context)
    return context
  }

  #span(name: string, context: Context, ms: number, outcome: string, attributes: Attributes): void {
    const now = this.clock.now()
    const span = this.tracer.startSpan(name, { startTime: now - ms, attributes }, context)
    span.setAttribute('icp.outcome', outcome)
    if (outcome !== 'ok' && outcome !== 'partial') span.setStatus({ code: SpanStatusCode.ERROR, message: outcome })
    span.end(now)
  }
}

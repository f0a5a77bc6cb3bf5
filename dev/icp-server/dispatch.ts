import type { X509Certificate } from 'node:crypto'
import { messageOf } from '../../agent/errors.js'
import { authorize } from './access.js'
import { ApiError, badRequest, rateLimited, ServerDies } from './api-error.js'
import type { DevExchange, Reply, Services } from './exchange.js'
import { type Fault, findFault } from './faults.js'
import { WINDOW_LIMIT } from './limits.js'
import { type FoundRoute, findRoute } from './routes.js'

/** A received request. */
export interface Incoming {
  readonly method: string
  /** Below the base path. */
  readonly path: string
  readonly query: URLSearchParams
  readonly body: string
  readonly bearer: string
  /** The `X-Tenant-ID` header. */
  readonly account: string | null
  readonly ip: string
  readonly certificate: X509Certificate | null
  /** Aborts when the client goes away or the server closes. */
  readonly signal: AbortSignal
}

export interface Outcome {
  /** Null: drop the connection without an answer; `dies`: drop every connection. */
  readonly reply: Reply | null
  readonly dies: boolean
  readonly faults: readonly Fault[]
  /** The server's time in milliseconds since 1970, for the Date header. */
  readonly now: number
}

/** Applies faults, limits and authorization to a request, runs its handler, and records it. */
export async function dispatch(incoming: Incoming, services: Services): Promise<Outcome> {
  const { method, path } = incoming
  const found = findRoute(method, path)
  const faults = services.faults.strike({
    pattern: found?.route.pattern ?? null,
    path,
    administration: isAdministration(found),
    withCertificate: incoming.certificate !== null,
  })
  const now = services.clock.now() + (findFault(faults, 'clock-offset')?.seconds ?? 0) * 1000
  const trace: Trace = { client: null, reason: null, dies: false }
  const reply = await answer(incoming, found, faults, now, services, trace)
  services.requests.add({
    at: services.clock.now(),
    method,
    endpoint: found?.route.pattern ?? path,
    path,
    status: reply?.status ?? null,
    ip: incoming.ip,
    client: trace.client,
    account: incoming.account,
    faults: faults.map((fault) => fault.kind),
    reason: trace.reason,
  })
  return { reply, dies: trace.dies, faults, now }
}

/** Data for the request log. */
interface Trace {
  client: string | null
  reason: string | null
  dies: boolean
}

async function answer(
  incoming: Incoming,
  found: FoundRoute | null,
  faults: readonly Fault[],
  now: number,
  services: Services,
  trace: Trace,
): Promise<Reply | null> {
  for (const fault of faults) if (fault.kind === 'latency') await services.clock.sleep(fault.ms, incoming.signal)
  const drop = findFault(faults, 'drop')
  if (drop?.when === 'before') return null
  const inPlace = faults.map(insteadOf).find((reply) => reply !== null)
  if (inPlace) return inPlace
  const reply = await handle(incoming, found, faults, now, services, trace)
  return drop ? null : reply
}

/** The answer of a proxy or a faulty server instead of handling the request. */
function insteadOf(fault: Fault): Reply | null {
  switch (fault.kind) {
    case 'status':
      return refusal(new ApiError(fault.status, 'INTERNAL_ERROR', 'Internal server error'))
    case 'rate-limit':
      return fault.retry_after === null ? windowFull() : tierEmpty(fault.retry_after)
    case 'html':
      return {
        status: fault.status,
        body: null,
        raw: { contentType: 'text/html', text: '<!doctype html><title>Proxy</title><h1>It works</h1>\n' },
      }
    default:
      return null
  }
}

async function handle(
  incoming: Incoming,
  found: FoundRoute | null,
  faults: readonly Fault[],
  now: number,
  services: Services,
  trace: Trace,
): Promise<Reply | null> {
  const { ip, bearer, query } = incoming
  const monotonic = services.clock.monotonic()
  // Really administrators have other addresses; here they share the loopback address with the agents.
  if (!isAdministration(found) && !services.limits.admits(ip, monotonic)) return windowFull()
  if (!found) return { status: 404, body: null, raw: { contentType: 'text/plain', text: '404 page not found' } }
  const { route, params } = found
  try {
    const behindProxy = findFault(faults, 'tls-ends-before') !== null
    const credentials = { bearer, behindProxy, certificate: behindProxy ? null : incoming.certificate }
    const client = authorize(route.access[services.generation], credentials, services, now)
    trace.client = client?.spiffeId.uri ?? null
    const tier = route.tier[services.generation]
    if (tier && !services.limits.takes(tier, ip, monotonic)) return tierEmpty(60)
    const exchange: DevExchange = { params, query, bearer, client, now, faults, body: parseJson(incoming.body) }
    return await route.handle(exchange, services)
  } catch (error) {
    if (error instanceof ApiError) {
      trace.reason = error.reason
      return refusal(error)
    }
    trace.reason = messageOf(error)
    trace.dies = error instanceof ServerDies
    if (trace.dies) return null
    return refusal(new ApiError(500, 'INTERNAL_ERROR', 'Internal server error'))
  }
}

function isAdministration(found: FoundRoute | null): boolean {
  return found?.route.access.workspace === 'admin'
}

function parseJson(body: string): unknown {
  if (body === '') return undefined
  try {
    return JSON.parse(body)
  } catch {
    throw badRequest('Invalid request body')
  }
}

function refusal(error: ApiError): Reply {
  return { status: error.status, body: { error: { code: error.code, message: error.message } } }
}

/** The refusal of a tier's token bucket. */
function tierEmpty(retryAfterSeconds: number): Reply {
  return { ...refusal(rateLimited()), headers: { 'retry-after': String(retryAfterSeconds) } }
}

/** The refusal by the service-wide limit: another form, and no Retry-After. */
function windowFull(): Reply {
  const message = `Too many requests. Maximum ${WINDOW_LIMIT} requests per 1m0s allowed. Please try again later.`
  return { status: 429, body: { error: 'Rate limit exceeded', message, limit: WINDOW_LIMIT, window: '1m0s' } }
}

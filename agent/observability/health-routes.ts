import type { FastifyInstance } from 'fastify'
import type { Clock } from '../ports/clock.js'
import type { HealthInput } from './health.js'
import { type AgentNames, greeting, type HealthAnswer, liveness, readiness, statusDocument } from './health-answers.js'
import type { Log } from './log.js'
import { isLoopback, isLoopbackHost } from './loopback.js'
import type { MetricsToken } from './metrics-token.js'

/** The source of the answers. */
export interface HealthSource {
  /** Called for each request; must not wait for anything. */
  readonly input: () => HealthInput
  readonly metrics: { text(): Promise<string>; readonly contentType: string }
  readonly version: string
  readonly agent: AgentNames
  readonly clock: Pick<Clock, 'monotonic'>
  readonly log: Log
  /** The token that `/metrics` requires; absent or null: none. */
  readonly metricsToken?: Pick<MetricsToken, 'refusal'> | null
}

/** Liveness, readiness, status and metrics. GET and HEAD only; no request changes anything. */
export function addHealthRoutes(app: FastifyInstance, source: HealthSource): void {
  const { input, metrics, version, agent, clock, log } = source
  const alive = (verbose: boolean, loopDelayMs: number) => liveness(input(), loopDelayMs, verbose)
  const answers: Record<string, (verbose: boolean, loopDelayMs: number) => HealthAnswer> = {
    '/healthz': alive,
    '/health': alive,
    '/live': alive,
    '/livez': alive,
    '/ready': (verbose) => readiness(input(), verbose),
    '/readyz': (verbose) => readiness(input(), verbose),
    '/status': (_, loopDelayMs) => statusDocument(input(), loopDelayMs, agent, version),
    '/': () => greeting(agent, version),
  }
  const refuse = (code: number, error: string): HealthAnswer => ({ code, body: { error } })

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    if (isLoopback(request.socket.localAddress) && !isLoopbackHost(request.headers.host)) {
      const { code, body } = refuse(421, 'on a loopback address the Host header must be a loopback name')
      return reply.code(code).send(body)
    }
    if (request.method === 'GET' || request.method === 'HEAD') return
    const { code, body } = refuse(405, 'only GET and HEAD')
    return reply.code(code).header('allow', 'GET, HEAD').send(body)
  })
  for (const [path, answer] of Object.entries(answers)) {
    app.get<{ Querystring: Record<string, unknown> }>(path, async (request, reply) => {
      const { code, body } = answer('verbose' in request.query, await loopDelay(clock))
      return reply
        .code(code)
        .type('application/json; charset=utf-8')
        .send(`${JSON.stringify(body)}\n`)
    })
  }
  app.get('/metrics', async (request, reply) => {
    const refusal = await source.metricsToken?.refusal(request.headers.authorization)
    if (!refusal) return reply.type(metrics.contentType).send(await metrics.text())
    if (refusal.code === 401) reply.header('www-authenticate', 'Bearer realm="icp-agent"')
    const { code, body } = refuse(refusal.code, refusal.error)
    return reply.code(code).send(body)
  })
  app.setNotFoundHandler((_, reply) => {
    const { code, body } = refuse(404, `not here; try ${[...Object.keys(answers), '/metrics'].join(', ')}`)
    return reply.code(code).send(body)
  })
  app.setErrorHandler((error, request, reply) => {
    log.error('Health endpoint failed', { path: request.routeOptions.url, error })
    const { code, body } = refuse(500, 'internal')
    return reply.code(code).send(body)
  })
}

/** The duration of one iteration of the event loop, in milliseconds. */
function loopDelay(clock: Pick<Clock, 'monotonic'>): Promise<number> {
  const asked = clock.monotonic()
  return new Promise((resolve) => setImmediate(() => resolve(clock.monotonic() - asked)))
}

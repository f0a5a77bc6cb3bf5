import type { FastifyInstance } from 'fastify'
import { AgentError } from '../errors.js'
import type { Clock } from '../ports/clock.js'
import type { HealthFacts } from './health.js'
import { type AgentNames, type Answer, greeting, liveness, readiness, statusDocument } from './health-answers.js'
import type { Log } from './log.js'

/** Far more than probes and scrapers need, so that silent connections of others do not keep a probe out. */
const MAX_CONNECTIONS = 1024
const MAX_HEADER_BYTES = 8192
/** What a request may take to arrive, and what an idle connection is kept for. */
const REQUEST_MS = 3000

export interface HealthServerOptions {
  readonly bindAddress: string
  /** 0 takes any free port. */
  readonly port: number
  /** Called for each request; must not wait for anything. */
  readonly facts: () => HealthFacts
  readonly metrics: { text(): Promise<string>; readonly contentType: string }
  readonly version: string
  readonly agent: AgentNames
  readonly clock: Pick<Clock, 'monotonic'>
  readonly log: Log
}

export interface HealthServer extends AsyncDisposable {
  readonly port: number
}

/**
 * Serves liveness, readiness, status and metrics over plain HTTP. GET and HEAD only, nothing is changed by a request.
 * Throws `health.unavailable` where the port cannot be opened: the caller decides whether the agent goes on without.
 */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  // Loaded here, because an agent with health.enabled: false need not pay for it.
  const { fastify } = await import('fastify')
  const app = fastify({
    logger: false,
    bodyLimit: 1024,
    requestTimeout: REQUEST_MS,
    keepAliveTimeout: REQUEST_MS,
    forceCloseConnections: true,
    http: { maxHeaderSize: MAX_HEADER_BYTES, headersTimeout: REQUEST_MS, connectionsCheckingInterval: REQUEST_MS },
    routerOptions: { ignoreTrailingSlash: true },
  })
  app.server.maxConnections = MAX_CONNECTIONS
  addRoutes(app, options)
  try {
    await app.listen({ host: options.bindAddress, port: options.port })
  } catch (error) {
    await app.close()
    throw new AgentError('health.unavailable', refusal(options, error), { cause: error })
  }
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : options.port
  return {
    port,
    async [Symbol.asyncDispose]() {
      await app.close()
    },
  }
}

function addRoutes(app: FastifyInstance, { facts, metrics, version, agent, clock, log }: HealthServerOptions): void {
  const answers: Record<string, (verbose: boolean, loopDelayMs: number) => Answer> = {
    '/healthz': (verbose, loopDelayMs) => liveness(facts(), loopDelayMs, verbose),
    '/health': (verbose, loopDelayMs) => liveness(facts(), loopDelayMs, verbose),
    '/ready': (verbose) => readiness(facts(), verbose),
    '/readyz': (verbose) => readiness(facts(), verbose),
    '/status': (_, loopDelayMs) => statusDocument(facts(), loopDelayMs, agent, version),
    '/': () => greeting(agent, version),
  }
  const refuse = (code: number, error: string): Answer => ({ code, body: { error } })

  app.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
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
  app.get('/metrics', async (_, reply) => reply.type(metrics.contentType).send(await metrics.text()))
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

/** How long the event loop takes to come round once. */
function loopDelay(clock: Pick<Clock, 'monotonic'>): Promise<number> {
  const asked = clock.monotonic()
  return new Promise((resolve) => setImmediate(() => resolve(clock.monotonic() - asked)))
}

function refusal({ bindAddress, port }: HealthServerOptions, error: unknown): string {
  const code = error instanceof Error && 'code' in error ? error.code : 'unknown'
  const where = `${bindAddress}:${port}`
  if (code === 'EADDRINUSE') {
    return `${where} is taken by another process; set health.port to a free port, or health.enabled to false`
  }
  if (code === 'EADDRNOTAVAIL')
    return `${bindAddress} is no address of this machine; set health.bind_address to one that is`
  if (code === 'EACCES') return `${where} may not be opened by this user; set health.port to 1024 or more`
  return `${where} cannot be opened (${String(code)}); look at health.bind_address and health.port`
}

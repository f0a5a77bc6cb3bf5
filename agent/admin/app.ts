import type { FastifyInstance, FastifyReply } from 'fastify'
import { AgentError, codeOf, type ErrorCode } from '../errors.js'
import type { AdminEvents } from '../observability/admin-events.js'
import type { AdminRoute } from './route.js'
import { ROUTES } from './route-table.js'
import type { AdminSources } from './sources.js'

/** The largest request: a few words of JSON. */
const MAX_BODY_BYTES = 16 * 1024

/** Messages for errors of Fastify, which occur before a route is reached. */
const NOT_READ: Readonly<Record<number, string>> = {
  404: 'there is no such route; docs/admin.md has those of this version',
  413: `a request may have ${MAX_BODY_BYTES} bytes`,
  415: 'a body must be application/json',
}
const STATUSES: Partial<Record<ErrorCode, number>> = {
  'admin.not_found': 404,
  'caller.exited': 404,
  'caller.unidentified': 409,
  'attestation.timeout': 409,
  'request.invalid': 400,
}

export type AdminApp = Pick<FastifyInstance, 'routing' | 'inject'>

/** The routes as a Fastify application; loaded at the first request, to save memory in agents that get none. */
export async function adminApp(sources: AdminSources, events: AdminEvents): Promise<AdminApp> {
  const { fastify } = await import('fastify')
  const app = fastify({
    logger: false,
    bodyLimit: MAX_BODY_BYTES,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
  })
  app.addHook('onRequest', async (_, reply) => void reply.header('cache-control', 'no-store'))
  app.addHook('onResponse', async (request, reply) => {
    events.answered(request.routeOptions.url ?? 'none', reply.statusCode)
  })
  for (const route of ROUTES) addRoute(app, route, sources)
  app.setNotFoundHandler((_, reply) => refuse(reply, 404, 'request.invalid', NOT_READ[404] ?? ''))
  app.setErrorHandler((error, request, reply) => {
    if (error instanceof AgentError) return refuse(reply, STATUSES[error.code] ?? 500, error.code, error.message)
    const status = statusOf(error)
    if (status < 500) return refuse(reply, status, 'request.invalid', NOT_READ[status] ?? 'the request is malformed')
    events.failed(request.routeOptions.url ?? 'none', error)
    return refuse(reply, 500, codeOf(error), 'the agent failed; see its log')
  })
  await app.ready()
  return app
}

function addRoute(app: FastifyInstance, route: AdminRoute, sources: AdminSources): void {
  const { method, path, body } = route
  app.route<{ Params: Record<string, string>; Querystring: Record<string, string | undefined> }>({
    method,
    url: path,
    handler: async ({ params, query, body: sent, raw }, reply) => {
      const gone = new AbortController()
      const close = () => gone.abort(new AgentError('request.invalid', 'the client is gone'))
      raw.socket.once('close', close)
      try {
        const request = { params, query, body: body && bodyOf(body, sent), signal: gone.signal }
        const answer = await route.answer(sources, request)
        return await reply.type('application/json; charset=utf-8').send(`${JSON.stringify(answer)}\n`)
      } finally {
        raw.socket.off('close', close)
      }
    },
  })
}

function bodyOf(schema: NonNullable<AdminRoute['body']>, sent: unknown): unknown {
  const { success, data, error } = schema.safeParse(sent ?? {})
  if (success) return data
  const problems = error.issues.map(({ path, message }) => [path.join('.'), message].filter(Boolean).join(': '))
  throw new AgentError('request.invalid', problems.join('; '))
}

function refuse(reply: FastifyReply, status: number, code: ErrorCode, message: string) {
  return reply
    .code(status)
    .type('application/json; charset=utf-8')
    .send(`${JSON.stringify({ error: { code, message } })}\n`)
}

function statusOf(error: unknown): number {
  const status: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'statusCode') : null
  return typeof status === 'number' ? status : 500
}

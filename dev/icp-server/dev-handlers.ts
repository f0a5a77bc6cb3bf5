import { errors } from 'jose'
import * as z from 'zod'
import { badRequest } from './api-error.js'
import { ok, parseBody, type RouteHandler } from './exchange.js'

/** POST /dev/faults: one fault or a list of them. */
export const setFaults: RouteHandler = async (exchange, services) => {
  const asked = Array.isArray(exchange.body) ? exchange.body : [exchange.body]
  try {
    return { status: 201, body: { faults: asked.map((fault) => services.faults.add(fault)) } }
  } catch (error) {
    if (error instanceof z.ZodError) throw badRequest(`not a fault: ${z.prettifyError(error)}`)
    throw error
  }
}

/** GET /dev/faults: `times` is the remaining number. */
export const listFaults: RouteHandler = async (_exchange, services) => ok({ faults: services.faults.list() })

/** DELETE /dev/faults clears all, DELETE /dev/faults?id= one. */
export const clearFaults: RouteHandler = async (exchange, services) => {
  services.faults.clear(exchange.query.get('id') ?? undefined)
  return ok({ faults: services.faults.list() })
}

/** POST /dev/rotate-ca: a new CA issues from now on. */
export const rotateCa: RouteHandler = async (_exchange, services) => {
  await services.rotateCa()
  return ok({ ca_bundle: services.authority.bundlePem, generations: services.authority.generations.length })
}

/** POST /dev/agents/:id: `{"status":"active"|"revoked"}`; the newer generation refuses a revoked one with 403. */
export const setAgentStatus: RouteHandler = async (exchange, services) => {
  const { status } = parseBody(z.object({ status: z.enum(['active', 'revoked']) }), exchange)
  const id = exchange.params['id'] ?? ''
  services.registry.setAgentStatus(id, status)
  await services.save()
  return ok({ id, status })
}

/** POST /dev/limits: `{"mode":"faithful"|"off"}`. */
export const setLimits: RouteHandler = async (exchange, services) => {
  const { mode } = parseBody(z.object({ mode: z.enum(['faithful', 'off']) }), exchange)
  services.limits.mode = mode
  return ok({ mode })
}

/** POST /dev/revoke-jwt: `{"token"}`; from now on the token does not validate here. */
export const revokeJwt: RouteHandler = async (exchange, services) => {
  try {
    services.jwts.revoke(parseBody(z.object({ token: z.string() }), exchange).token)
  } catch (error) {
    throw error instanceof errors.JOSEError ? badRequest('not a JWT') : error
  }
  await services.save()
  return ok({ message: 'JWT-SVID revoked' })
}

/** GET /dev/requests: the number of requests of each endpoint. */
export const listRequests: RouteHandler = async (_exchange, services) => ok({ requests: services.requests.counts() })

import * as z from 'zod'
import { badRequest, forbidden, internal, notFound, unauthorized } from './api-error.js'
import {
  account,
  type DevExchange,
  namedAccount,
  number,
  ok,
  parseBody,
  type Reply,
  type RouteHandler,
  type Services,
  sameAccount,
  text,
  timestamp,
} from './exchange.js'

const MAX_TTL_SECONDS = 86_400

const issueRequest = z.object({
  ...account,
  spiffe_id: text,
  audience: z.array(z.string()).nullish(),
  ttl: number,
  custom_claims: z.record(z.string(), z.unknown()).nullish(),
})

/** POST /v1/jwt/issue: for the caller itself, or for an entry that the calling agent serves. */
export const issueJwt: RouteHandler = async (exchange, services) => {
  const body = parseBody(issueRequest, exchange)
  const caller = exchange.client
  if (!caller) throw unauthorized('Client certificate required')
  sameAccount(services, body)
  const spiffeId = body.spiffe_id || caller.spiffeId.uri
  // The older generation requires only a certificate.
  if (services.generation === 'workspace' && spiffeId !== caller.spiffeId.uri) {
    if (!caller.isAgent) throw forbidden('spiffe_id must be the authenticated identity')
    const entry = services.registry.entryBySpiffeId(spiffeId)
    if (!entry || (entry.parentId !== '' && entry.parentId !== caller.spiffeId.uri)) {
      throw notFound('No workload entry of this agent has that spiffe_id')
    }
  }
  if (!body.audience?.length) throw internal('audience is required')
  return await sign({ ...body, spiffe_id: spiffeId }, body.ttl, false, exchange, services)
}

/** POST /v1/jwt/issue-delegated: by an administrator on a user's behalf; a newer token invalidates the older one. */
export const issueDelegatedJwt: RouteHandler = async (exchange, services) => {
  const body = parseBody(issueRequest, exchange)
  sameAccount(services, body)
  if (!body.spiffe_id.startsWith(`spiffe://${services.accountId}/`)) {
    throw forbidden(`spiffe_id must be in the workspace trust domain spiffe://${services.accountId}/`)
  }
  if (!body.audience?.length) throw badRequest('audience is required')
  const ttl = body.ttl <= 0 || body.ttl > MAX_TTL_SECONDS ? MAX_TTL_SECONDS : body.ttl
  return await sign(body, ttl, true, exchange, services)
}

async function sign(
  body: z.output<typeof issueRequest>,
  ttlSeconds: number,
  delegated: boolean,
  exchange: DevExchange,
  services: Services,
): Promise<Reply> {
  const keyIsNew = !services.jwts.hasKey
  const signed = await services.jwts.issue(
    {
      spiffeId: body.spiffe_id,
      audience: body.audience ?? [],
      ttlSeconds,
      customClaims: body.custom_claims ?? {},
      delegated,
    },
    exchange.now,
  )
  if (delegated || keyIsNew) await services.save()
  return ok({ spiffe_id: body.spiffe_id, token: signed.token, expires_at: timestamp(signed.expiresAt) })
}

const validateRequest = z.object({ ...account, token: text, audience: text })

/** POST /v1/jwt/validate: an invalid token is not an error but 200 with `valid: false`. */
export const validateJwt: RouteHandler = async (exchange, services) => {
  const body = parseBody(validateRequest, exchange)
  const asserted = namedAccount(services, body)
  const ours = asserted === '' || asserted === services.accountId
  const claims = ours ? await services.jwts.validate(body.token, body.audience, exchange.now) : null
  if (!claims) return ok({ spiffe_id: '', valid: false, ...(services.generation === 'tenant' ? { claims: null } : {}) })
  return ok({
    spiffe_id: claims.sub ?? '',
    valid: true,
    claims,
    sub: claims.sub,
    audience: claims.aud,
    expires_at: claims.exp,
    issued_at: claims.iat,
  })
}

/** GET /v1/jwt/bundle: one RSA key. */
export const jwtBundle: RouteHandler = async (exchange, services) => {
  const asserted = namedAccount(services, {
    tenant_id: exchange.query.get('tenant_id') ?? '',
    workspace_id: exchange.query.get('workspace_id') ?? '',
  })
  if (asserted === '') throw badRequest('the account is required as a query parameter')
  if (asserted !== services.accountId) throw notFound('Workspace not found')
  const keyIsNew = !services.jwts.hasKey
  const jwks = await services.jwts.jwks()
  if (keyIsNew) await services.save()
  return ok(jwks)
}

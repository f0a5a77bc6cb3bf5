import * as z from 'zod'
import { badRequest, notFound, unauthorized } from './api-error.js'
import type { IssuedByAuthority } from './authority.js'
import { nodeSelectors } from './evidence.js'
import {
  account,
  type DevExchange,
  namedAccount,
  ok,
  parseBody,
  type RouteHandler,
  type Services,
  text,
  timestamp,
} from './exchange.js'
import { issue, keyField } from './issue.js'
import { readCsr } from './read-csr.js'

const NODE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/
/** The lifetime in every answer of the real server, which fails to read the certificate's expiry. */
const CLAIMED_SECONDS = 86_400

const attestRequest = z.object({
  ...account,
  join_token: text,
  node_id: text,
  attestation_type: text,
  evidence: z.record(z.string(), z.unknown()).nullish(),
  csr: text,
})

/** POST /v1/node/attest. The join token is consumed before issuance, but not by invalid evidence or an invalid CSR. */
export const attestNode: RouteHandler = async (exchange, services) => {
  const body = parseBody(attestRequest, exchange)
  const joinToken = body.join_token || exchange.bearer
  requireFields(body, joinToken, services)
  const { generation, accountId } = services
  if (generation === 'tenant' && namedAccount(services, body) !== accountId) throw notFound('Tenant not found')
  const selectors = nodeSelectors(body.attestation_type, body.evidence ?? {}, generation)
  const csr = await readCsr(body.csr)
  if (generation === 'workspace') await consume(joinToken, body, services)

  const spiffeId = `spiffe://${accountId}/agent/${body.node_id}`
  const issued = await issueAgent(spiffeId, csr, exchange, services)
  const agent = services.registry.attested(
    { nodeId: body.node_id, spiffeId, attestationType: body.attestation_type, selectors },
    services.clock.now(),
  )
  await services.save()
  return ok({
    agent_id: agent.id,
    spiffe_id: issued.spiffeId,
    ...(generation === 'workspace' ? { workspace_id: accountId } : {}),
    certificate: issued.certificatePem,
    ca_bundle: issued.bundlePem,
    ttl: CLAIMED_SECONDS - 1,
    ...keyField(issued),
  })
}

const renewRequest = z.object({ agent_id: text, csr: text })

/** POST /v1/agent/renew. In the older generation it always answers 401. */
export const renewAgent: RouteHandler = async (exchange, services) => {
  if (services.generation === 'tenant' || !exchange.client) throw unauthorized('Agent certificate required')
  const body = parseBody(renewRequest, exchange)
  const agent = services.registry.agent(exchange.client.spiffeId.uri)
  if (!agent || (body.agent_id !== '' && body.agent_id !== agent.id)) throw notFound('Agent not found')
  if (body.csr === '') throw badRequest('csr is required')
  const issued = await issueAgent(agent.spiffeId, await readCsr(body.csr), exchange, services)
  agent.lastSeen = services.clock.now()
  await services.save()
  return ok({
    spiffe_id: issued.spiffeId,
    certificate: issued.certificatePem,
    ca_bundle: issued.bundlePem,
    ttl: 3600,
    ca_chain: issued.bundlePem === '' ? [] : [issued.bundlePem],
    expires_at: timestamp(exchange.now + CLAIMED_SECONDS * 1000),
    ...keyField(issued),
  })
}

async function issueAgent(
  spiffeId: string,
  csr: Awaited<ReturnType<typeof readCsr>>,
  exchange: DevExchange,
  services: Services,
): Promise<IssuedByAuthority> {
  const ttlSeconds = services.agentTtlSeconds
  return await issue({ role: 'agent', csr, spiffeId, fallbackName: spiffeId, ttlSeconds }, exchange, services)
}

function requireFields(body: z.output<typeof attestRequest>, joinToken: string, services: Services): void {
  const tenant = services.generation === 'tenant'
  if (!tenant && joinToken === '') throw unauthorized('join_token is required')
  if (tenant && namedAccount(services, body) === '') throw badRequest('tenant_id is required')
  for (const field of ['node_id', 'csr', 'attestation_type'] as const) {
    if (body[field] === '') throw badRequest(`${field} is required`)
  }
  if (tenant && !body.evidence) throw badRequest('evidence is required')
  if (!NODE_ID.test(body.node_id)) throw badRequest('node_id contains invalid characters')
}

async function consume(secret: string, body: z.output<typeof attestRequest>, services: Services): Promise<void> {
  // A request for another account does not consume a token of this one.
  if (body.workspace_id !== '' && body.workspace_id !== services.accountId) {
    throw unauthorized('Join token is invalid, expired, revoked or already used')
  }
  services.joinTokens.consume(secret, body.node_id, services.clock.now())
  await services.save()
}

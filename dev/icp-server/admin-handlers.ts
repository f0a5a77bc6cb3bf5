import * as z from 'zod'
import { badRequest } from './api-error.js'
import { entryAnswer } from './entry-answer.js'
import { account, accountKey, number, ok, parseBody, type RouteHandler, sameAccount, text } from './exchange.js'
import type { NewEntry } from './registry.js'
import type { JoinTokenRecord } from './state.js'

const selectors = z.record(z.string(), z.string())
const SEGMENT = /^[a-zA-Z0-9][a-zA-Z0-9._-]*$/

const entryRequest = z.object({
  ...account,
  spiffe_id: z.string().min(1),
  parent_id: text,
  selectors,
  ttl: z.number().int().nullish(),
  admin: z.boolean().nullish(),
  downstream: z.boolean().nullish(),
})

/** POST /v1/entries. */
export const createEntry: RouteHandler = async (exchange, services) => {
  const body = parseBody(entryRequest, exchange)
  sameAccount(services, body)
  const entry = services.registry.createEntry(newEntry(body), services.clock.now())
  await services.save()
  return { status: 201, body: entryAnswer(entry, services) }
}

/** PUT /v1/entries/:id rewrites the whole entry. */
export const updateEntry: RouteHandler = async (exchange, services) => {
  const body = parseBody(entryRequest, exchange)
  const entry = services.registry.updateEntry(exchange.params['id'] ?? '', newEntry(body), services.clock.now())
  await services.save()
  return ok(entryAnswer(entry, services))
}

/** DELETE /v1/entries/:id. */
export const deleteEntry: RouteHandler = async (exchange, services) => {
  const id = exchange.params['id'] ?? ''
  services.registry.deleteEntry(id, services.generation)
  await services.save()
  return ok({ message: 'Workload entry deleted successfully', id })
}

/** GET /v1/entries/:id. */
export const getEntry: RouteHandler = async (exchange, services) =>
  ok(entryAnswer(services.registry.entry(exchange.params['id'] ?? ''), services))

/** GET /v1/entries: youngest first, `limit` (100, at most 1000), `offset`, `parent_id`, `spiffe_id`. */
export const listEntries: RouteHandler = async (exchange, services) => {
  const { query } = exchange
  const matches = [...services.registry.entries()]
    .filter((entry) => (query.get('parent_id') || entry.parentId) === entry.parentId)
    .filter((entry) => (query.get('spiffe_id') || entry.spiffeId) === entry.spiffeId)
    .reverse()
  const limit = Math.min(natural(query.get('limit')) || 100, 1000)
  const offset = natural(query.get('offset'))
  const page = matches.slice(offset, offset + limit).map((entry) => entryAnswer(entry, services))
  return ok({ entries: page.length === 0 && services.generation === 'tenant' ? null : page, total: matches.length })
}

const agentEntryRequest = z.object({
  ...account,
  client_id: z.string(),
  agent_type: z.string(),
  parent_id: text,
  selectors: selectors.nullish(),
  ttl: z.number().int().nullish(),
})

/** POST /v1/entries/agent: the entry of an AI agent, `spiffe://<account>/agent/<client_id>/<agent_type>`. */
export const createAgentEntry: RouteHandler = async (exchange, services) => {
  const body = parseBody(agentEntryRequest, exchange)
  sameAccount(services, body)
  for (const field of ['client_id', 'agent_type'] as const) {
    if (!SEGMENT.test(body[field])) throw badRequest(`${field} contains invalid characters`)
  }
  const entry = services.registry.createEntry(
    {
      spiffeId: `spiffe://${services.accountId}/agent/${body.client_id}/${body.agent_type}`,
      parentId: body.parent_id,
      selectors: {
        ...body.selectors,
        'authsec:client_id': body.client_id,
        'authsec:agent_type': body.agent_type,
        [`authsec:${accountKey(services)}`]: services.accountId,
      },
      ttl: body.ttl ?? null,
    },
    services.clock.now(),
  )
  await services.save()
  const { id, ...rest } = entryAnswer(entry, services)
  return { status: 201, body: { entry_id: id, client_id: body.client_id, ...rest } }
}

/** GET /v1/agents. */
export const listAgents: RouteHandler = async (_exchange, services) => {
  const agents = services.registry.agents().map((agent) => ({
    id: agent.id,
    spiffe_id: agent.spiffeId,
    node_id: agent.nodeId,
    attestation_type: agent.attestationType,
    node_selectors: agent.selectors,
    status: agent.status,
    last_seen: new Date(agent.lastSeen).toISOString(),
    created_at: new Date(agent.createdAt).toISOString(),
  }))
  return ok({ agents, count: agents.length })
}

const joinTokenRequest = z.object({ description: text, ttl_seconds: number }).nullish()

/** POST /v1/join-tokens: the secret is in this answer only. */
export const createJoinToken: RouteHandler = async (exchange, services) => {
  const body = parseBody(joinTokenRequest, exchange)
  const options = { ttlSeconds: body?.ttl_seconds ?? 0, description: body?.description ?? '' }
  const { record, secret } = services.joinTokens.mint(options, services.clock.now())
  await services.save()
  const { id, ...rest } = joinTokenAnswer(record)
  return { status: 201, body: { id, token: secret, ...rest }, headers: { 'cache-control': 'no-store' } }
}

/** GET /v1/join-tokens, newest first, without secrets. */
export const listJoinTokens: RouteHandler = async (_exchange, services) => {
  const tokens = services.joinTokens.list().map(joinTokenAnswer)
  return ok({ join_tokens: tokens, count: tokens.length })
}

/** DELETE /v1/join-tokens/:id. */
export const revokeJoinToken: RouteHandler = async (exchange, services) => {
  const id = exchange.params['id'] ?? ''
  services.joinTokens.revoke(id, services.clock.now())
  await services.save()
  return ok({ message: 'Join token revoked', id })
}

function newEntry(body: z.output<typeof entryRequest>): NewEntry {
  return {
    spiffeId: body.spiffe_id,
    parentId: body.parent_id,
    selectors: body.selectors,
    ttl: body.ttl ?? null,
    admin: body.admin ?? false,
    downstream: body.downstream ?? false,
  }
}

function joinTokenAnswer(token: JoinTokenRecord): Record<string, unknown> {
  const time = (ms: number | null) => (ms === null ? undefined : new Date(ms).toISOString())
  return {
    id: token.id,
    description: token.description || undefined,
    expires_at: time(token.expiresAt),
    used_at: time(token.usedAt),
    used_by_node_id: token.usedByNodeId || undefined,
    revoked_at: time(token.revokedAt),
    created_at: time(token.createdAt),
  }
}

function natural(value: string | null): number {
  return value !== null && /^\d{1,9}$/.test(value) ? Number(value) : 0
}

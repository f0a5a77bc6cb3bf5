import * as z from 'zod'
import { ApiError, badRequest, forbidden, internal, notFound, unauthorized } from './api-error.js'
import { entryAnswer } from './entry-answer.js'
import {
  account,
  type DevExchange,
  namedAccount,
  ok,
  parseBody,
  type RouteHandler,
  type Services,
  sameAccount,
  text,
  timestamp,
} from './exchange.js'
import { findFault } from './faults.js'
import { issue, keyField, requireCa } from './issue.js'
import { chooseEntry } from './matching.js'
import { type ReadCsr, readCsr } from './read-csr.js'
import type { EntryRecord } from './state.js'

/** GET /v1/entries/by-parent: the agent's own entries and the unassigned ones, youngest first. */
export const entriesByParent: RouteHandler = async (exchange, services) => {
  const named = {
    tenant_id: exchange.query.get('tenant_id') ?? '',
    workspace_id: exchange.query.get('workspace_id') ?? '',
  }
  const parent = exchange.query.get('parent_id') ?? ''
  const agent = callingAgent(exchange, services, named, parent, 'parent_id')
  const answers = [...services.registry.entries()]
    .filter((entry) => entry.parentId === '' || entry.parentId === agent)
    .map((entry) => entryAnswer(entry, services))
    .reverse()
  return ok(spoiled(answers, exchange, services))
}

const attestRequest = z.object({
  ...account,
  agent_id: text,
  selectors: z.record(z.string(), z.string()).nullish(),
  csr: text,
})

/** POST /v1/workload/attest: chooses an entry for the selectors, and issues a certificate for the names of the CSR. */
export const attestWorkload: RouteHandler = async (exchange, services) => {
  const body = parseBody(attestRequest, exchange)
  const agent = callingAgent(exchange, services, body, body.agent_id, 'agent_id')
  const selectors = body.selectors ?? {}
  if (Object.keys(selectors).length === 0) throw badRequest('selectors are required')
  const entry = matchingEntry(agent, selectors, services)
  const csr = await workloadCsr(body.csr, exchange, services)
  const ttlSeconds = entry.ttl ?? services.svidTtlSeconds
  const fallbackName = entry.spiffeId.split('/').at(-1) ?? ''
  const issued = await issue(
    { role: 'workload', csr, spiffeId: entry.spiffeId, fallbackName, ttlSeconds },
    exchange,
    services,
  )
  // The real server computes the expiry itself, independently of the role's maximum and the certificate.
  const claimedEnd = exchange.now + ttlSeconds * 1000
  services.registry.issued({
    serial: issued.serial,
    agentSpiffeId: agent,
    spiffeId: entry.spiffeId,
    entryId: entry.id,
    expiresAt: claimedEnd,
    revokedAt: null,
  })
  services.saveSoon()
  return ok({
    spiffe_id: issued.spiffeId,
    certificate: issued.certificatePem,
    trust_bundle: issued.bundlePem,
    expires_at: timestamp(claimedEnd),
    ttl: ttlSeconds,
    ...keyField(issued),
  })
}

const revokeRequest = z.object({ ...account, serial_number: text })

/**
 * POST /v1/workload/revoke. The newer generation revokes only SVIDs of the agent itself, and only while their entry exists.
 * The older one accepts any serial that it issued, also repeatedly, and fails on others.
 */
export const revokeWorkload: RouteHandler = async (exchange, services) => {
  const body = parseBody(revokeRequest, exchange)
  sameAccount(services, body)
  if (body.serial_number === '') throw badRequest('serial_number is required')
  const svid = services.registry.svid(body.serial_number)
  const tenant = services.generation === 'tenant'
  if (!svid || !(tenant || svid.agentSpiffeId === exchange.client?.spiffeId.uri)) {
    throw tenant ? internal('Failed to revoke workload SVID', 'no such serial') : notFound('Workload SVID not found')
  }
  requireCa(exchange)
  svid.revokedAt ??= services.clock.now()
  await services.save()
  return ok({ message: 'Workload SVID revoked successfully', serial_number: body.serial_number })
}

/** The calling agent: in the newer generation by its certificate, in the older one by the request. */
function callingAgent(
  exchange: DevExchange,
  services: Services,
  named: { tenant_id: string; workspace_id: string },
  claimed: string,
  field: string,
): string {
  if (services.generation === 'tenant') {
    const asserted = namedAccount(services, named)
    if (asserted === '') throw badRequest('tenant_id is required')
    if (asserted !== services.accountId) throw notFound('Tenant not found')
    if (claimed === '') throw badRequest(`${field} is required`)
    return claimed
  }
  sameAccount(services, named)
  if (!exchange.client) throw unauthorized('Agent certificate required')
  const certified = exchange.client.spiffeId.uri
  if (claimed !== '' && claimed !== certified) throw forbidden(`${field} does not match the authenticated agent`)
  return certified
}

function matchingEntry(agent: string, selectors: Readonly<Record<string, string>>, services: Services): EntryRecord {
  const match = chooseEntry(services.registry.entries(), agent, selectors, services.generation)
  if (match && 'entry' in match) return match.entry
  if (services.generation === 'workspace') throw notFound('No workload entry of this agent matches the selectors')
  if (!match) throw failed('no workload entry matches the provided selectors')
  const { spiffeId, parentId } = match.foreign
  throw failed(`agent ${agent} is not authorized for workload ${spiffeId} (expected parent ${parentId})`)
}

async function workloadCsr(pem: string, exchange: DevExchange, services: Services): Promise<ReadCsr> {
  const dropped = findFault(exchange.faults, 'csr-dropped') !== null
  if (dropped || (pem === '' && services.generation === 'tenant')) {
    throw failed('CSR is required: workload must generate its own keypair and submit a CSR')
  }
  if (pem === '') throw badRequest('CSR is required: the workload must generate its own keypair')
  if (services.generation === 'workspace') return await readCsr(pem)
  try {
    return await readCsr(pem)
  } catch (error) {
    throw error instanceof ApiError ? failed(error.message) : error
  }
}

function failed(why: string): ApiError {
  return badRequest(`Attestation failed: ${why}`)
}

function spoiled(answers: readonly object[], exchange: DevExchange, services: Services): object {
  const { faults } = exchange
  if (findFault(faults, 'entries-null')) return { entries: null, total: answers.length }
  const malformed = findFault(faults, 'malformed-entry')
  const bad = malformed ? [malformed.entry ?? { ...answers[0], id: 'malformed', spiffe_id: 'spiffe://no/../ID' }] : []
  const entries = [...bad, ...answers, ...(findFault(faults, 'duplicate-ids') ? answers : [])]
  // The older generation's empty list is null.
  if (entries.length === 0 && services.generation === 'tenant') return { entries: null, total: 0 }
  return { entries, total: entries.length }
}

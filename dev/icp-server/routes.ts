import {
  createAgentEntry,
  createEntry,
  createJoinToken,
  deleteEntry,
  getEntry,
  listAgents,
  listEntries,
  listJoinTokens,
  revokeJoinToken,
  updateEntry,
} from './admin-handlers.js'
import {
  clearFaults,
  listFaults,
  listRequests,
  revokeJwt,
  rotateCa,
  setAgentStatus,
  setFaults,
  setLimits,
} from './dev-handlers.js'
import type { RouteHandler } from './exchange.js'
import { issueDelegatedJwt, issueJwt, jwtBundle, validateJwt } from './jwt-handlers.js'
import type { LimitTier } from './limits.js'
import { attestNode, renewAgent } from './node-handlers.js'
import type { Generation } from './options.js'
import { bundle, health } from './public-handlers.js'
import { attestWorkload, entriesByParent, revokeWorkload } from './workload-handlers.js'

/**
 * Access to a route. `agent`: an active agent by its certificate. `agent-by-word`: any caller that names an agent, without
 * a certificate (with one, the process of the real server crashes). `svid`: any verified certificate. `admin`: the
 * administrator's bearer token.
 */
export type Access = 'public' | 'agent' | 'agent-by-word' | 'svid' | 'admin'

export interface Route {
  readonly method: string
  /** Segments that begin with a colon are parameters. */
  readonly pattern: string
  readonly access: Readonly<Record<Generation, Access>>
  readonly tier: Readonly<Record<Generation, LimitTier | null>>
  readonly handle: RouteHandler
}

const both = <T>(value: T): Record<Generation, T> => ({ tenant: value, workspace: value })
const agents = { tenant: 'agent-by-word', workspace: 'agent' } as const
const route = (
  method: string,
  pattern: string,
  access: Route['access'],
  tier: Route['tier'],
  handle: RouteHandler,
): Route => ({ method, pattern, access, tier, handle })
const admin = (method: string, pattern: string, handle: RouteHandler): Route =>
  route(method, pattern, both('admin'), both(null), handle)

/** Every endpoint of both generations. The first match is used. */
export const ROUTES: readonly Route[] = [
  route('GET', '/health', both('public'), both(null), health),
  route('GET', '/bundle/:id', both('public'), both(null), bundle),
  route('POST', '/v1/node/attest', both('public'), both('bootstrap'), attestNode),
  route(
    'POST',
    '/v1/agent/renew',
    { tenant: 'public', workspace: 'agent' },
    { tenant: 'bootstrap', workspace: 'standard' },
    renewAgent,
  ),
  route('GET', '/v1/entries/by-parent', agents, both('standard'), entriesByParent),
  route('POST', '/v1/workload/attest', agents, both('standard'), attestWorkload),
  route('POST', '/v1/workload/revoke', agents, both('standard'), revokeWorkload),
  route('POST', '/v1/jwt/issue', both('svid'), both(null), issueJwt),
  route('POST', '/v1/jwt/validate', both('public'), both('sensitive'), validateJwt),
  route('GET', '/v1/jwt/bundle', both('public'), both(null), jwtBundle),

  admin('POST', '/v1/jwt/issue-delegated', issueDelegatedJwt),
  admin('GET', '/v1/entries', listEntries),
  admin('POST', '/v1/entries', createEntry),
  admin('POST', '/v1/entries/agent', createAgentEntry),
  admin('GET', '/v1/entries/:id', getEntry),
  admin('PUT', '/v1/entries/:id', updateEntry),
  admin('DELETE', '/v1/entries/:id', deleteEntry),
  admin('GET', '/v1/agents', listAgents),
  admin('GET', '/v1/join-tokens', listJoinTokens),
  admin('POST', '/v1/join-tokens', createJoinToken),
  admin('DELETE', '/v1/join-tokens/:id', revokeJoinToken),

  admin('GET', '/dev/faults', listFaults),
  admin('POST', '/dev/faults', setFaults),
  admin('DELETE', '/dev/faults', clearFaults),
  admin('POST', '/dev/rotate-ca', rotateCa),
  admin('POST', '/dev/agents/:id', setAgentStatus),
  admin('POST', '/dev/limits', setLimits),
  admin('POST', '/dev/revoke-jwt', revokeJwt),
  admin('GET', '/dev/requests', listRequests),
]

export interface FoundRoute {
  readonly route: Route
  readonly params: Readonly<Record<string, string>>
}

export function findRoute(method: string, path: string): FoundRoute | null {
  for (const candidate of ROUTES) {
    const params = candidate.method === method ? match(candidate.pattern, path) : null
    if (params) return { route: candidate, params }
  }
  return null
}

function match(pattern: string, path: string): Record<string, string> | null {
  const wanted = pattern.split('/')
  const given = path.split('/')
  if (wanted.length !== given.length) return null
  const params: Record<string, string> = {}
  for (const [i, segment] of wanted.entries()) {
    const value = given[i] ?? ''
    if (segment.startsWith(':')) params[segment.slice(1)] = value
    else if (segment !== value) return null
  }
  return params
}

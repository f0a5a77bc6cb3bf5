import { createHash, timingSafeEqual, type X509Certificate } from 'node:crypto'
import { forbidden, ServerDies, unauthorized } from './api-error.js'
import { type PresentedIdentity, verifyClient } from './client-certificate.js'
import type { Services } from './exchange.js'
import type { Access } from './routes.js'

/** The credentials of a request. */
export interface Credentials {
  readonly certificate: X509Certificate | null
  /** TLS ended before the server, so that no certificate can reach it. */
  readonly behindProxy: boolean
  /** The token of `Authorization: Bearer`, or empty. */
  readonly bearer: string
}

/** The verified client; null if the route does not check it. Refuses with 401 or 403. */
export function authorize(
  access: Access,
  credentials: Credentials,
  services: Services,
  now: number,
): PresentedIdentity | null {
  switch (access) {
    case 'public':
      return null
    case 'admin':
      if (!sameText(credentials.bearer, services.adminToken)) throw unauthorized('Authorization token is invalid')
      return null
    case 'svid':
      return clientOf(credentials, services, now)
    case 'agent-by-word':
      if (credentials.certificate) throw new ServerDies('a client certificate reached an endpoint of agents')
      return null
    case 'agent':
      return agentOf(credentials, services, now)
  }
}

function clientOf(credentials: Credentials, services: Services, now: number): PresentedIdentity {
  const { certificate, behindProxy } = credentials
  const tenant = services.generation === 'tenant'
  if (!certificate) {
    throw unauthorized(tenant && behindProxy ? 'TLS connection required' : 'Client certificate required')
  }
  const issuers = tenant ? services.authority.generations : [services.knownIssuer.pem]
  const client = verifyClient(certificate, issuers, now)
  if ('refused' in client) throw unauthorized(client.refused)
  if (![services.accountId, services.workloadTrustDomain].includes(client.spiffeId.trustDomain)) {
    throw unauthorized('Client certificate is not from a known workspace')
  }
  return client
}

function agentOf(credentials: Credentials, services: Services, now: number): PresentedIdentity {
  const client = clientOf(credentials, services, now)
  if (!client.isAgent) throw forbidden('Certificate does not belong to an agent')
  const agent = services.registry.agent(client.spiffeId.uri)
  if (!agent) throw unauthorized('Agent not found')
  if (agent.status !== 'active') throw forbidden('Agent is not active')
  return client
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(digest(a), digest(b))
}

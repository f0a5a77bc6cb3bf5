import { AgentError } from '../errors.js'
import type { HttpResponse } from '../ports/http.js'
import { errorOf } from './answers.js'
import type { ServerEndpoint } from './endpoints.js'
import { parseError } from './wire.js'

/**
 * The groups of endpoints at which certificates are presented: those of agents, and issuance of JWT-SVIDs, which some
 * servers treat separately.
 */
export type PresentedAt = 'agents' | 'jwt'

/** The agent's certificates for requests; is notified how the server answered to each. */
export interface ClientCertificates {
  /** Names of the valid certificates, at most two; the first is presented by default. */
  names(): readonly string[]
  /** A request with the certificate of this name succeeded; null: without one. */
  accepted(name: string | null): void
  /** The server refused all valid certificates. */
  refused(error: AgentError): void
  /** The server refuses the agent whatever it presents: an administrator has revoked it. */
  inactive(error: AgentError): void
  /** Endpoints at which the server is known to fail on a certificate. */
  failsAt(): readonly PresentedAt[]
  /** The server requires a certificate there and failed on it; remembered until the node is attested again. */
  failed(place: PresentedAt): void
}

export const NO_CLIENT_CERTIFICATES: ClientCertificates = {
  names: () => [],
  accepted: () => undefined,
  refused: () => undefined,
  inactive: () => undefined,
  failsAt: () => [],
  failed: () => undefined,
}

/** A 401 with this text means that no certificate has reached the server. */
const NOT_ABOUT_IT = /TLS connection required/i

/**
 * One exchange with the certificate that was accepted last and, if that is refused, once more with the other: a server
 * whose CA has changed accepts only one of them, and does not announce the change. `send` presents the first of `names`,
 * or the other. Throws as `send` does.
 */
export async function presenting(
  certificates: ClientCertificates,
  endpoint: ServerEndpoint,
  send: (other: boolean) => Promise<HttpResponse>,
  now: () => number,
): Promise<HttpResponse> {
  const [name] = certificates.names()
  const first = await settled(send(false))
  if (!isRefusal(first)) return answer(certificates, name ?? null, first)
  // The certificates may have changed meanwhile.
  const names = certificates.names()
  const another = names.find((each) => each !== name)
  const last = another === undefined ? first : await settled(send(names[0] !== another))
  if (another !== undefined && !isRefusal(last)) return answer(certificates, another, last)
  // At JWT issuance such a refusal means that TLS ends before the server; it is not about the certificate.
  if (name !== undefined && endpoint !== 'issue_jwt') certificates.refused(errorIn(last, endpoint, now()))
  return unwrap(last)
}

type Settled = { readonly response: HttpResponse } | { readonly error: unknown }

async function settled(exchange: Promise<HttpResponse>): Promise<Settled> {
  try {
    return { response: await exchange }
  } catch (error) {
    return { error }
  }
}

function isRefusal(outcome: Settled): boolean {
  // A handshake that failed because of the certificate.
  if ('error' in outcome) return outcome.error instanceof AgentError && outcome.error.code === 'icp.unauthorized'
  return outcome.response.status === 401 && !NOT_ABOUT_IT.test(parseError(outcome.response.body).message)
}

function answer(certificates: ClientCertificates, name: string | null, outcome: Settled): HttpResponse {
  if ('response' in outcome && outcome.response.status < 300) certificates.accepted(name)
  return unwrap(outcome)
}

function unwrap(outcome: Settled): HttpResponse {
  if ('error' in outcome) throw outcome.error
  return outcome.response
}

function errorIn(outcome: Settled, endpoint: ServerEndpoint, now: number): AgentError {
  if ('response' in outcome) return errorOf({ endpoint, response: outcome.response, secrets: [], now })
  if (outcome.error instanceof AgentError) return outcome.error
  throw outcome.error
}

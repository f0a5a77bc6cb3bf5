import { AgentError } from '../errors.js'
import type { HttpResponse } from '../ports/http.js'
import { errorOf } from './answers.js'
import type { ServerEndpoint } from './endpoints.js'
import { parseError } from './wire.js'

/**
 * Where certificates are presented: the endpoints of agents, and issuance of JWT-SVIDs, which some servers treat apart.
 */
export type PresentedAt = 'agents' | 'jwt'

/** The agent's certificates as requests present them; receives how the server answered to each. */
export interface ClientCertificates {
  /** Names of those that are valid now, at most two; the one that is presented unless another is asked for in front. */
  names(): readonly string[]
  /** A request was answered with success under the certificate of this name; null: under none. */
  accepted(name: string | null): void
  /** The server refused all that are valid now. */
  refused(error: AgentError): void
  /** The server refuses the agent, whatever it presents: an administrator has revoked it. */
  inactive(error: AgentError): void
  /** Where the server fails on a certificate, as far as that is remembered. */
  failsAt(): readonly PresentedAt[]
  /** The server wanted a certificate there and failed on it; so it stays until the node is attested again. */
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

/** A 401 with these words is about the connection: no certificate has arrived at all. */
const NOT_ABOUT_IT = /TLS connection required/i

/**
 * One exchange under the certificate that was accepted last and, where that is refused, once more under the other: a
 * server whose CA has changed accepts the one or the other, and changes over at a moment that it does not announce.
 * `send` presents the one in front of `names`, or the other. Throws as `send` does.
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
  // Another may have come meanwhile.
  const names = certificates.names()
  const another = names.find((each) => each !== name)
  const last = another === undefined ? first : await settled(send(names[0] !== another))
  if (another !== undefined && !isRefusal(last)) return answer(certificates, another, last)
  // Of its own refusals JWT issuance says that TLS ends before the server: they tell nothing of the certificate.
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
  // A handshake that failed over the certificate.
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

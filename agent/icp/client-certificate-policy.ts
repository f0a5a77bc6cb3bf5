import { AgentError, isError } from '../errors.js'
import type { ServerEvents } from '../observability/server-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpResponse } from '../ports/http.js'
import type { ClientCertificates, PresentedAt } from './client-certificates.js'
import { type ServerEndpoint, specOf } from './endpoints.js'
import { parseError } from './wire.js'

/** Wait after a repetition that did not help before the next one. */
const DOUBT_PAUSE_MS = 300_000
/** The server closed the connection, or its process died. */
const CLOSED: ReadonlySet<unknown> = new Set(['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'])
/** Statuses that do not show whether the certificate was the cause. */
const NO_ANSWER: ReadonlySet<number> = new Set([401, 403, 429])

type Attempt = (withoutIdentity: boolean) => Promise<HttpResponse>

interface Group {
  readonly place: PresentedAt
  /** `wanted`: refused without the certificate, served with it. `fails`: refused without, and fails on it. */
  knowledge: 'unknown' | 'wanted' | 'fails'
  doubtFrom: number
}

/**
 * Whether to present the client certificate. A server of the workspace API requires it. The tenant API does not need it
 * from agents; some deployments answer 500 to it, and in others the server process crashes. So if attestation named no
 * workspace, a request is sent without it first, and with it only after a 401 that asks for one. A certificate on which a
 * server failed is not presented again before the next attestation, also after a restart.
 */
export class ClientCertificatePolicy {
  #workspace = false
  /** Issuance of JWT-SVIDs is separate: the tenant API requires the certificate there, and crashes on it elsewhere. */
  #agents = newGroup('agents')
  #jwt = newGroup('jwt')

  constructor(
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly events: Pick<ServerEvents, 'identityWithheld' | 'identityPresented'>,
    private readonly certificates: Pick<ClientCertificates, 'failsAt' | 'failed'>,
  ) {}

  /** True once the server is known to be of the workspace API. */
  get workspace(): boolean {
    return this.#workspace
  }

  /** The server's generation, from the agent SVID in use. Another certificate may be accepted where the last was not. */
  learnGeneration(workspace: boolean): void {
    this.#workspace = workspace
    for (const group of [this.#agents, this.#jwt]) group.doubtFrom = Number.NEGATIVE_INFINITY
  }

  /** The node was attested: forgets what was learned before. */
  attested(workspace: boolean): void {
    this.#agents = newGroup('agents')
    this.#jwt = newGroup('jwt')
    this.learnGeneration(workspace)
  }

  async choose(endpoint: ServerEndpoint, exchange: Attempt): Promise<HttpResponse> {
    if (!specOf(endpoint).identity) return await exchange(true)
    if (this.#workspace) return await exchange(false)
    const group = endpoint === 'issue_jwt' ? this.#jwt : this.#agents
    return group.knowledge === 'wanted'
      ? await this.#with(group, endpoint, exchange)
      : await this.#without(group, endpoint, exchange)
  }

  async #without(group: Group, endpoint: ServerEndpoint, exchange: Attempt): Promise<HttpResponse> {
    const response = await exchange(true)
    if (!wantsOne(endpoint, response) || this.#fails(group) || this.#paused(group)) return response
    const second = await unlessClosed(exchange(false))
    if (second instanceof AgentError || second.status === 500) {
      group.knowledge = 'fails'
      this.certificates.failed(group.place)
      this.events.identityWithheld(endpoint)
      return response
    }
    if (isAnswer(second)) {
      group.knowledge = 'wanted'
      this.events.identityPresented(endpoint)
    } else if (second.status === 401) this.#pause(group)
    return second
  }

  async #with(group: Group, endpoint: ServerEndpoint, exchange: Attempt): Promise<HttpResponse> {
    const response = await unlessClosed(exchange(false))
    const closed = response instanceof AgentError
    if (!closed && (response.status !== 500 || this.#paused(group))) return response
    // While a crashed server restarts, no request is answered, so the next one is also sent without it first.
    if (closed) group.knowledge = 'unknown'
    const second = await exchange(true)
    if (isAnswer(second)) {
      group.knowledge = 'unknown'
      this.events.identityWithheld(endpoint)
      return second
    }
    group.knowledge = 'wanted'
    if (closed) throw response
    this.#pause(group)
    return response
  }

  #fails({ knowledge, place }: Group): boolean {
    return knowledge === 'fails' || this.certificates.failsAt().includes(place)
  }

  #paused(group: Group): boolean {
    return this.clock.monotonic() < group.doubtFrom
  }

  #pause(group: Group): void {
    group.doubtFrom = this.clock.monotonic() + DOUBT_PAUSE_MS
  }
}

function newGroup(place: PresentedAt): Group {
  return { place, knowledge: 'unknown', doubtFrom: Number.NEGATIVE_INFINITY }
}

/** Whether a certificate may help against this refusal. */
function wantsOne(endpoint: ServerEndpoint, response: HttpResponse): boolean {
  if (response.status !== 401) return false
  // The tenant API answers 401 to every renewal, and behind a proxy also to every issuance of a JWT-SVID.
  return endpoint !== 'renew_agent' && !/TLS connection required/i.test(parseError(response.body).message)
}

/** The server processed the request, with success or not. */
function isAnswer({ status }: HttpResponse): boolean {
  return status < 500 && !NO_ANSWER.has(status)
}

/** The answer, or the error of a connection that was closed before there was one. */
async function unlessClosed(exchange: Promise<HttpResponse>): Promise<HttpResponse | AgentError> {
  try {
    return await exchange
  } catch (error) {
    if (isError(error, 'icp.unreachable') && CLOSED.has(error.details.reason)) {
      return error
    }
    throw error
  }
}

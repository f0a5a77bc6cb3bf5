import type { ServerEvents } from '../observability/server-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpResponse } from '../ports/http.js'
import { type Endpoint, specOf } from './endpoints.js'

/** After a repetition that did not help either, so long passes before the next one. */
const DOUBT_PAUSE_MS = 300_000

type Knowledge = 'unknown' | 'accepted' | 'fails'

/**
 * Whether the client certificate is presented. Some deployments of the tenant API answer 500 to a certificate that
 * reaches the handler: unless the server is known to be of the workspace API, or has answered a certificate well, such
 * a request is repeated once without; if that helps, it stays so until the server asks for the certificate again.
 */
export class IdentityUse {
  #knowledge: Knowledge = 'unknown'
  #workspace = false
  #doubtFrom = Number.NEGATIVE_INFINITY

  constructor(
    private readonly clock: Clock,
    private readonly events: ServerEvents,
  ) {}

  /** True once the server is known to be of the workspace API. */
  get workspace(): boolean {
    return this.#workspace
  }

  /** A server of the workspace API demands the certificate. */
  learnGeneration(workspace: boolean): void {
    this.#workspace = workspace
    if (workspace) this.#knowledge = 'unknown'
  }

  async choose(
    endpoint: Endpoint,
    exchange: (withoutIdentity: boolean) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    if (!specOf(endpoint).identity) return await exchange(true)
    if (this.#knowledge === 'fails') return await this.#without(endpoint, exchange)
    const response = await exchange(false)
    if (response.status < 300) this.#knowledge = 'accepted'
    if (response.status !== 500 || !this.#doubtful()) return response
    const second = await exchange(true)
    if (second.status >= 400) {
      this.#doubtFrom = this.clock.monotonic() + DOUBT_PAUSE_MS
      return response
    }
    this.#knowledge = 'fails'
    this.events.identityWithheld(endpoint)
    return second
  }

  async #without(
    endpoint: Endpoint,
    exchange: (withoutIdentity: boolean) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    const response = await exchange(true)
    if (response.status !== 401 && response.status !== 403) return response
    const second = await exchange(false)
    if (second.status >= 400) return response
    this.#knowledge = 'accepted'
    this.events.identityPresented(endpoint)
    return second
  }

  #doubtful(): boolean {
    return !this.#workspace && this.#knowledge === 'unknown' && this.clock.monotonic() >= this.#doubtFrom
  }
}

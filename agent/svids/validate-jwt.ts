import { createHash } from 'node:crypto'
import type { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { ControlPlane, JwtValidationAnswer } from '../icp/control-plane.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import { withDeadline } from '../lib/deadline.js'
import { putLast } from '../lib/oldest.js'
import { SharedWork } from '../lib/shared-work.js'
import type { Clock } from '../ports/clock.js'

export interface JwtValidatorOptions {
  readonly controlPlane: Pick<ControlPlane, 'validateJwt'>
  readonly limiter: Pick<RateLimiter, 'opensIn'>
  readonly clock: Clock
  /** The deadline of one validation, including the wait for a slot. */
  readonly deadlineMs: number
}

/** How long a refusal is cached. A success is not cached, because a token may be revoked at any time. */
const REFUSED_MS = 60_000
const MAX_REFUSED = 1_000

/**
 * Validates JWT-SVIDs at the ICP server within its rate limits, with one request for concurrent calls about the same
 * token.
 */
export class JwtValidator {
  readonly #asking = new SharedWork<JwtValidationAnswer>()
  /** By digest of token and audience, the monotonic time until which the refusal is cached. Oldest first. */
  readonly #refused = new Map<string, number>()

  constructor(private readonly options: JwtValidatorOptions) {}

  /** Throws `icp.*` if the server gives no result: `icp.rate_limited`, `icp.timeout` at the deadline, or the request's error. */
  async validate(
    request: { readonly token: Secret; readonly audience: string },
    signal: AbortSignal,
  ): Promise<JwtValidationAnswer> {
    const name = createHash('sha256')
      .update(JSON.stringify([request.token.reveal(), request.audience]))
      .digest('hex')
    if ((this.#refused.get(name) ?? 0) > this.options.clock.monotonic()) return REFUSED
    const answer = await this.#asking.join(name, signal, (stop) => this.#ask(request, stop))
    if (!answer.valid) this.#remember(name)
    return answer
  }

  async #ask(request: { token: Secret; audience: string }, signal: AbortSignal): Promise<JwtValidationAnswer> {
    const { limiter, controlPlane, clock, deadlineMs } = this.options
    const opensIn = limiter.opensIn('sensitive')
    if (opensIn >= deadlineMs) throw tooOften(opensIn)
    const late = () => new AgentError('icp.timeout', 'the ICP server did not validate the token in time; retry')
    return await withDeadline(clock, { ms: deadlineMs, late }, signal, (limited) =>
      controlPlane.validateJwt(request, limited),
    )
  }

  #remember(name: string): void {
    putLast(this.#refused, name, this.options.clock.monotonic() + REFUSED_MS, MAX_REFUSED)
  }
}

const REFUSED: JwtValidationAnswer = { valid: false, spiffeId: '' }

function tooOften(retryAfterMs: number): AgentError {
  const message = 'this token must be validated by the ICP server, whose rate limit is exhausted; retry later'
  return new AgentError('icp.rate_limited', message, { details: { tier: 'sensitive', retryAfterMs } })
}

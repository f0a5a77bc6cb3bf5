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
  /** What one question may take in all, the wait for a slot included. */
  readonly deadlineMs: number
}

/** What was refused stays refused for so long without another question; what holds may be revoked at any moment. */
const REFUSED_MS = 60_000
const MAX_REFUSED = 1_000

/**
 * JWT-SVIDs that only the ICP server can validate, within its limits: one request for all who ask about the same
 * token at the same time.
 */
export class JwtValidator {
  readonly #asking = new SharedWork<JwtValidationAnswer>()
  /** Digests of token and audience, with the moment (monotonic) until which they count. Oldest first. */
  readonly #refused = new Map<string, number>()

  constructor(private readonly options: JwtValidatorOptions) {}

  /** Throws `icp.*` where the server does not say: `icp.rate_limited`, `icp.timeout` at the deadline, and its own. */
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

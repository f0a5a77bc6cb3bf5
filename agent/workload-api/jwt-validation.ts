import { createHash } from 'node:crypto'
import type { Secret } from '../crypto/secret.js'
import { AgentError } from '../errors.js'
import type { Budget } from '../icp/budget.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { readToken, verifyJwtSvid } from '../identity/jwt-svid.js'
import type { Clock } from '../ports/clock.js'
import type { IdentityStore } from '../store/identity-store.js'

export interface JwtValidationOptions {
  /** `auto`: by ourselves where we can judge, else by the server. */
  readonly mode: 'auto' | 'local' | 'server'
  readonly store: IdentityStore
  readonly controlPlane: Pick<ControlPlane, 'validateJwt'>
  readonly budget: Budget
  readonly clock: Clock
  readonly deadlineMs: number
}

/** A token that holds. */
export interface ValidJwt {
  readonly spiffeId: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** Claims by which a token says that somebody acts for somebody else; only the server knows whether it was revoked. */
const DELEGATED = /^(act|may_act|obo)$|delegat/i

/** Judges JWT-SVIDs. Throws `jwt.invalid` for one that does not hold, and for nothing else; `icp.*` where nobody can say. */
export class JwtValidation {
  readonly #asking = new Map<string, Promise<ValidJwt>>()

  constructor(private readonly options: JwtValidationOptions) {}

  async validate(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const { mode, store, clock } = this.options
    const { subject, claims } = readToken(token)
    const served = subject !== null && store.current.bundles.has(subject.trustDomain)
    const delegated = Object.keys(claims).some((claim) => DELEGATED.test(claim))
    if (mode === 'server' || (mode === 'auto' && (!served || delegated)))
      return await this.#ask(token, audience, signal)
    if (!served) throw new AgentError('jwt.invalid', 'not a valid JWT-SVID: its trust domain is not one that is served')
    const { jwtKeys } = store.current
    if (jwtKeys.length === 0) throw new AgentError('agent.starting', 'no JWT bundle has been received yet; try again')
    const verified = await verifyJwtSvid(token, { audience, keys: jwtKeys, now: clock.now() })
    return { spiffeId: verified.spiffeId.uri, claims: verified.claims }
  }

  /** One request for all who ask about the same token at the same time; no answer is kept, for it may be revoked. */
  #ask(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const key = createHash('sha256')
      .update(JSON.stringify([token.reveal(), audience]))
      .digest('hex')
    const known = this.#asking.get(key)
    if (known) return known
    const asking = this.#askServer(token, audience, signal).finally(() => this.#asking.delete(key))
    this.#asking.set(key, asking)
    return asking
  }

  async #askServer(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const { budget, controlPlane, clock, deadlineMs } = this.options
    const opensIn = budget.opensIn('sensitive')
    if (opensIn >= deadlineMs) {
      throw new AgentError(
        'icp.rate_limited',
        'only the ICP server can judge this token, and it is asked too often now',
      )
    }
    if (opensIn > 0) await clock.sleep(opensIn, signal)
    budget.take('sensitive')
    const { valid, spiffeId, claims } = await controlPlane.validateJwt({ token, audience }, signal)
    if (!valid) throw new AgentError('jwt.invalid', 'not a valid JWT-SVID: the ICP server refuses it')
    return { spiffeId, claims }
  }
}

import type { Secret } from '../crypto/secret.js'
import { AgentError, isError } from '../errors.js'
import { verifyJwtSvid } from '../identity/jwt-svid.js'
import { hopeless, invalidJwt, readToken } from '../identity/jwt-token.js'
import type { Clock } from '../ports/clock.js'
import type { SvidStore } from '../svids/store.js'

/** The consumer's port on validation by the ICP server, within its rate limits. */
export interface RemoteJwtValidator {
  /** Throws `icp.*` if the server gives no result. */
  validate(
    request: { readonly token: Secret; readonly audience: string },
    signal: AbortSignal,
  ): Promise<{ readonly valid: boolean; readonly spiffeId: string }>
}

export interface JwtValidationOptions {
  /** `auto`: locally if possible, else by the server. */
  readonly mode: 'auto' | 'local' | 'server'
  readonly store: Pick<SvidStore, 'current'>
  readonly remote: RemoteJwtValidator
  /** `reconsider` fetches newer keys; true if the keys changed. */
  readonly keys: { reconsider(signal: AbortSignal): Promise<boolean> }
  readonly clock: Pick<Clock, 'now'>
}

/** A valid token. */
export interface ValidJwt {
  readonly spiffeId: string
  readonly claims: Readonly<Record<string, unknown>>
}

/** Claims of delegated tokens; only the server knows whether a delegation was revoked. */
const DELEGATED = /^(act|may_act|obo)$|delegat/i
/** The path of an AI agent's SPIFFE ID: its tokens are issued on a user's behalf without a claim that says so. */
const AI_AGENT = /^\/agent\/[^/]+\/[^/]+$/

/** Validates JWT-SVIDs. Throws `jwt.invalid` only for an invalid token, and `icp.*` if the server gives no result. */
export class JwtValidation {
  constructor(private readonly options: JwtValidationOptions) {}

  async validate(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const { mode, store, clock } = this.options
    const { subject, claims } = readToken(token)
    const reason = hopeless(claims, audience, clock.now())
    if (reason) throw invalidJwt(reason)
    const served = store.current.bundles.has(subject.trustDomain)
    const delegated = AI_AGENT.test(subject.path) || Object.keys(claims).some((claim) => DELEGATED.test(claim))
    if (mode === 'server' || (mode === 'auto' && (!served || delegated))) {
      return await this.#ask(token, audience, signal)
    }
    if (!served) throw invalidJwt('its trust domain is not served here')
    return await this.#verify(token, audience, signal)
  }

  async #verify(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const { store, clock, keys } = this.options
    const verified = async () => {
      const { jwtKeys } = store.current
      if (jwtKeys.length === 0) throw new AgentError('agent.starting', 'no JWT bundle has been received yet; try again')
      const { spiffeId, claims } = await verifyJwtSvid(token, { audience, keys: jwtKeys, now: clock.now() })
      return { spiffeId: spiffeId.uri, claims }
    }
    try {
      return await verified()
    } catch (error) {
      const unsigned = isError(error, 'jwt.invalid') && error.details.check === 'signature'
      // The token's key may be newer than our copy of the bundle.
      if (!unsigned || !(await keys.reconsider(signal))) throw error
      return await verified()
    }
  }

  async #ask(token: Secret, audience: string, signal: AbortSignal): Promise<ValidJwt> {
    const { subject, claims } = readToken(token)
    const answer = await this.options.remote.validate({ token, audience }, signal)
    if (!answer.valid) throw invalidJwt('the ICP server refuses it')
    if (answer.spiffeId !== '' && answer.spiffeId !== subject.uri) {
      throw new AgentError('icp.bad_response', 'the ICP server answered about a token of another identity')
    }
    // The token's own claims: the server has validated them, and need not repeat all of them (Workload API 6.2.3).
    return { spiffeId: subject.uri, claims }
  }
}

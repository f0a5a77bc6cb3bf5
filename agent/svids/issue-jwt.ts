import { createHash } from 'node:crypto'
import type { Secret } from '../crypto/secret.js'
import { AgentError, codeOf, messageOf } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { type JwtKey, verifyJwtSvid } from '../identity/jwt-svid.js'
import type { Clock } from '../ports/clock.js'
import type { HeldJwt, JwtSubject } from './jwt-cache.js'

export interface IssueJwtOptions {
  readonly controlPlane: Pick<ControlPlane, 'issueJwt'>
  /** The known keys; `refresh` fetches them again. */
  readonly keys: { current(): readonly JwtKey[]; refresh(signal: AbortSignal): Promise<void> }
  readonly clock: Pick<Clock, 'now'>
}

/**
 * Requests one JWT-SVID and verifies it as any recipient would, so that the agent never hands out a token that others
 * reject. Throws `icp.*`; `icp.bad_response` for an invalid token.
 */
export async function issueJwtSvid(
  subject: JwtSubject,
  options: IssueJwtOptions,
  signal: AbortSignal,
): Promise<HeldJwt> {
  const { controlPlane, keys } = options
  const { spiffeId, audience } = subject
  const { token } = await controlPlane.issueJwt({ spiffeId, audience }, signal)
  try {
    return await verified(subject, token, options)
  } catch (error) {
    if (codeOf(error) !== 'jwt.invalid') throw error
    // The key may be newer than our copy of the bundle.
    await keys.refresh(signal)
    return await verified(subject, token, options).catch((again: unknown) => {
      throw codeOf(again) === 'jwt.invalid' ? badToken(messageOf(again)) : again
    })
  }
}

async function verified(
  { spiffeId, audience }: JwtSubject,
  token: Secret,
  { keys, clock }: IssueJwtOptions,
): Promise<HeldJwt> {
  const now = clock.now()
  const [first = ''] = audience
  const jwt = await verifyJwtSvid(token, { audience: first, keys: keys.current(), now })
  const granted = [jwt.claims.aud ?? []].flat()
  if (!jwt.spiffeId.equals(spiffeId) || !audience.every((one) => granted.includes(one))) {
    throw badToken('it is for another identity or audience')
  }
  const { jti } = jwt.claims
  return {
    spiffeId,
    token,
    audience: granted,
    id: typeof jti === 'string' ? jti : createHash('sha256').update(token.reveal()).digest('hex'),
    issuedAt: Math.min(jwt.issuedAt, now),
    expiresAt: jwt.expiresAt,
  }
}

function badToken(reason: string): AgentError {
  return new AgentError('icp.bad_response', `the ICP server issued a JWT-SVID that cannot be used: ${reason}`)
}

import { isError, type Tier } from '../errors.js'
import type { ControlPlane, IssuedCertificate } from './control-plane.js'
import { type ServerEndpoint, tierOf } from './endpoints.js'
import { pauseOf, type RateLimiter } from './rate-limiter.js'
import type { ServerReachability } from './server-reachability.js'

export interface LimitOptions {
  readonly limiter: RateLimiter
  readonly reachability: ServerReachability
  /** An answer was 429. `service`: a request of any tier met the service-wide limit. */
  readonly onLimited?: (tier: Tier) => void
  /** An answer named these authorities (DER) as the server's; never empty. */
  readonly onIssuers?: (authorities: readonly Uint8Array[]) => void
}

/**
 * The control plane under the rate limiter: each call is charged and sent at once, because a loop planned it when a slot
 * was open; validation of a JWT-SVID, which no loop plans, waits for a slot. Reports to the limiter whether an answer was
 * a 429, and whether the server answers at all. `workspace`: whether the server is known to be of the workspace API.
 */
export function limitedControlPlane(
  inner: ControlPlane,
  { limiter, reachability, onLimited, onIssuers }: LimitOptions,
  workspace: () => boolean,
): ControlPlane {
  const answered = async <T>(tier: Tier, answer: Promise<T>): Promise<T> => {
    try {
      const value = await answer
      limiter.passed(tier)
      reachability.answered()
      return value
    } catch (error) {
      reachability.failed(error)
      if (isError(error, 'icp.rate_limited')) {
        // The next request of any tier would meet the service-wide limit too.
        const met = error.details.tier === 'service' ? 'service' : tier
        limiter.limited(met, pauseOf(error))
        onLimited?.(met)
      }
      throw error
    }
  }
  const planned = <T>(endpoint: ServerEndpoint, ask: () => Promise<T>): Promise<T> => {
    const tier = tierOf(endpoint, workspace())
    limiter.charge(tier)
    return answered(tier, ask())
  }
  const named = (authorities: readonly Uint8Array[]) => {
    if (authorities.length > 0) onIssuers?.(authorities)
  }
  const issued = async <T extends IssuedCertificate>(endpoint: ServerEndpoint, ask: () => Promise<T>): Promise<T> => {
    const value = await planned(endpoint, ask)
    named(value.bundle)
    return value
  }
  return {
    attestNode: (request, signal) => issued('attest_node', () => inner.attestNode(request, signal)),
    renewAgent: (request, signal) => issued('renew_agent', () => inner.renewAgent(request, signal)),
    entries: (agent, signal) => planned('entries', () => inner.entries(agent, signal)),
    signWorkload: (request, signal) => issued('sign_workload', () => inner.signWorkload(request, signal)),
    revokeWorkload: (serial, signal) => planned('revoke_workload', () => inner.revokeWorkload(serial, signal)),
    bundle: async (signal) => {
      const authorities = await planned('bundle', () => inner.bundle(signal))
      named(authorities)
      return authorities
    },
    issueJwt: (request, signal) => planned('issue_jwt', () => inner.issueJwt(request, signal)),
    jwtBundle: (signal) => planned('jwt_bundle', () => inner.jwtBundle(signal)),
    validateJwt: async (request, signal) => {
      const tier = tierOf('validate_jwt', workspace())
      await limiter.acquire(tier, signal)
      return await answered(tier, inner.validateJwt(request, signal))
    },
  }
}

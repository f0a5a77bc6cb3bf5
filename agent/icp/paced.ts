import { AgentError } from '../errors.js'
import { type Budget, pauseOf, type Tier } from './budget.js'
import type { Contact } from './contact.js'
import type { ControlPlane, IssuedCertificate } from './control-plane.js'
import { budgetTierOf, type Endpoint } from './endpoints.js'

/** What every answer of the server says about the pace; requests themselves are paced by whoever makes them. */
export interface PaceListener {
  /** `open`: the limit around everything was met, by a request of whatever tier. */
  limited(tier: Tier, retryAfterMs: number): void
  /** An answer named these authorities (DER) as the server's; there is at least one. */
  issuersNamed?(authorities: readonly Uint8Array[]): void
}

/**
 * The same control plane, telling the budget of each answer whether it was a 429, and whether the server is there at all.
 * `workspace`: whether it is known to be of the workspace API.
 */
export function pacedControlPlane(
  inner: ControlPlane,
  budget: Budget,
  listener: PaceListener,
  contact: Contact,
  workspace: () => boolean = () => true,
): ControlPlane {
  const told = async <T>(endpoint: Endpoint, answer: Promise<T>): Promise<T> => {
    const tier = budgetTierOf(endpoint, workspace())
    try {
      const value = await answer
      budget.passed(tier)
      contact.answered()
      return value
    } catch (error) {
      contact.failed(error)
      if (error instanceof AgentError && error.code === 'icp.rate_limited') {
        const retryAfterMs = pauseOf(error)
        // The window around the whole service answers in a form of its own; whoever asks next would meet it too.
        const met = error.details['tier'] === 'service' ? 'open' : tier
        budget.limited(met, retryAfterMs)
        listener.limited(met, retryAfterMs)
      }
      throw error
    }
  }
  const named = (authorities: readonly Uint8Array[]) => {
    if (authorities.length > 0) listener.issuersNamed?.(authorities)
  }
  const issued = async <T extends IssuedCertificate>(endpoint: Endpoint, answer: Promise<T>): Promise<T> => {
    const value = await told(endpoint, answer)
    named(value.bundle)
    return value
  }
  return {
    attestNode: (request, signal) => issued('attest_node', inner.attestNode(request, signal)),
    renewAgent: (request, signal) => issued('renew_agent', inner.renewAgent(request, signal)),
    entries: (agent, signal) => told('entries', inner.entries(agent, signal)),
    signWorkload: (request, signal) => issued('sign_workload', inner.signWorkload(request, signal)),
    revokeWorkload: (serial, signal) => told('revoke_workload', inner.revokeWorkload(serial, signal)),
    bundle: async (signal) => {
      const authorities = await told('bundle', inner.bundle(signal))
      named(authorities)
      return authorities
    },
    issueJwt: (request, signal) => told('issue_jwt', inner.issueJwt(request, signal)),
    jwtBundle: (signal) => told('jwt_bundle', inner.jwtBundle(signal)),
    validateJwt: (request, signal) => told('validate_jwt', inner.validateJwt(request, signal)),
  }
}

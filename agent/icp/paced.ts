import { AgentError } from '../errors.js'
import type { Budget, Tier } from './budget.js'
import type { Contact } from './contact.js'
import type { ControlPlane } from './control-plane.js'

const DEFAULT_RETRY_AFTER_MS = 60_000

/** What every answer of the server says about the pace; requests themselves are paced by whoever makes them. */
export interface PaceListener {
  /** `open`: the limit around everything was met, by a request of whatever tier. */
  limited(tier: Tier, retryAfterMs: number): void
}

/** The same control plane, telling the budget of each answer whether it was a 429, and whether the server is there at all. */
export function pacedControlPlane(
  inner: ControlPlane,
  budget: Budget,
  listener: PaceListener,
  contact: Contact,
): ControlPlane {
  const told = async <T>(tier: Tier, answer: Promise<T>): Promise<T> => {
    try {
      const value = await answer
      budget.passed(tier)
      contact.answered()
      return value
    } catch (error) {
      contact.failed(error)
      if (error instanceof AgentError && error.code === 'icp.rate_limited') {
        const after = error.details['retryAfterMs']
        const retryAfterMs = typeof after === 'number' ? after : DEFAULT_RETRY_AFTER_MS
        // The window around the whole service answers in a form of its own; whoever asks next would meet it too.
        const met = error.details['tier'] === 'service' ? 'open' : tier
        budget.limited(met, retryAfterMs)
        listener.limited(met, retryAfterMs)
      }
      throw error
    }
  }
  return {
    attestNode: (request, signal) => told('bootstrap', inner.attestNode(request, signal)),
    renewAgent: (request, signal) => told('standard', inner.renewAgent(request, signal)),
    entries: (agent, signal) => told('standard', inner.entries(agent, signal)),
    signWorkload: (request, signal) => told('standard', inner.signWorkload(request, signal)),
    revokeWorkload: (serial, signal) => told('standard', inner.revokeWorkload(serial, signal)),
    bundle: (signal) => told('open', inner.bundle(signal)),
    issueJwt: (request, signal) => told('open', inner.issueJwt(request, signal)),
    jwtBundle: (signal) => told('open', inner.jwtBundle(signal)),
    validateJwt: (request, signal) => told('sensitive', inner.validateJwt(request, signal)),
  }
}

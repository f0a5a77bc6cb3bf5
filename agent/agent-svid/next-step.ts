import type { Tier } from '../errors.js'
import { renewalTier } from '../icp/endpoints.js'

/** After refusals only for this long, neither certificate can be used any more, and only an attestation helps. */
export const REFUSED_LONG_MS = 6 * 60_000

/** The input of the decision. Wall-clock times in milliseconds. */
export interface NextStepInput {
  /** An answer has arrived and is not in use yet. */
  readonly unfinished: boolean
  /** The newest certificate, valid or not; null: the node has never attested. */
  readonly newest: { readonly workspace: boolean; readonly renewAt: number } | null
  /** A certificate can be presented now. */
  readonly valid: boolean
  /** If only a wrong clock prevents the next step: when to check it again; else null. */
  readonly clockWait: number | null
  /** If an answer named another issuer than the newest certificate's: when to renew; else null. */
  readonly newIssuerAt: number | null
  /** For how long the server has refused every certificate; null while it accepts one. */
  readonly refusedForMs: number | null
  /** An administrator has revoked the agent. */
  readonly inactive: boolean
  /** There is a join token to attest with at once. */
  readonly freshToken: boolean
  /** Renewal was refused in a way that leads to attestation, or a lock-out may be over. */
  readonly attestNext: boolean
  /** The last attestation was refused, and the next will be until an administrator acts. */
  readonly locked: boolean
}

/** `at`: the earliest time; null: after another change. */
export type NextStep =
  | { readonly step: 'complete' | 'renew' | 'attest'; readonly at: number }
  | { readonly step: 'wait'; readonly at: number | null }

/**
 * Decides the next step for the agent's own certificate; nothing else decides it. `attempt-pace.ts` decides how soon a
 * failed step is retried.
 */
export function nextStep(s: NextStepInput, now: number): NextStep {
  // Any other request first would waste the join token of that answer.
  if (s.unfinished) return { step: 'complete', at: now }
  // An attestation must not undo the revocation by an administrator, whatever the platform.
  if (s.inactive && !s.freshToken) return { step: 'wait', at: null }
  if (!s.newest) return { step: 'attest', at: now }
  // A certificate issued now would not be valid by this clock either, and it might cost a join token.
  if (s.clockWait !== null) return { step: 'wait', at: s.clockWait }
  if (s.inactive || s.attestNext || !s.valid) return { step: 'attest', at: now }
  if (s.refusedForMs !== null && s.newest.workspace) {
    const worthIt = s.freshToken || (s.refusedForMs >= REFUSED_LONG_MS && !s.locked)
    // A renewal shows whether the server accepts one of the certificates again.
    return { step: worthIt ? 'attest' : 'renew', at: now }
  }
  return { step: 'renew', at: Math.min(s.newest.renewAt, s.newIssuerAt ?? Number.POSITIVE_INFINITY) }
}

export interface Due {
  /** The wall-clock time (ms) of the next attempt; in the past: now. */
  readonly at: number
  /** True while there is no valid agent SVID: without one no other request works. */
  readonly urgent: boolean
  readonly tier: Tier
}

/**
 * When to attempt the step. `waitMs`: the remaining wait of the attempt pace. Null if another change must come first.
 */
export function dueOf(
  { step, at }: NextStep,
  {
    now,
    waitMs,
    ...about
  }: { readonly now: number; readonly waitMs: number; readonly urgent: boolean; readonly workspace: boolean },
): Due | null {
  if (at === null) return null
  const tier = step === 'renew' ? renewalTier(about.workspace) : step === 'complete' ? 'service' : 'bootstrap'
  return { at: Math.max(at, now + waitMs), urgent: about.urgent, tier }
}

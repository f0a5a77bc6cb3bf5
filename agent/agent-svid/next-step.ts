import type { Tier } from '../errors.js'
import { renewalTier } from '../icp/endpoints.js'

/** No answer other than a refusal came for so long: both certificates are lost, and only an attestation helps. */
export const REFUSED_LONG_MS = 6 * 60_000

/** What the next step is decided from. Wall-clock moments in milliseconds. */
export interface NextStepInput {
  /** An answer has arrived and is not in use yet. */
  readonly unfinished: boolean
  /** The newest certificate, valid or not; null: the node has never attested. */
  readonly newest: { readonly workspace: boolean; readonly renewAt: number } | null
  /** A certificate can be presented now. */
  readonly valid: boolean
  /** Only the clock prevents the next step: when to check it again. */
  readonly clockWait: number | null
  /** An answer named an issuer that is not the newest certificate's: when to renew for it. */
  readonly newIssuerAt: number | null
  /** For how long the server is known to accept no certificate; null while it accepts one. */
  readonly refusedForMs: number | null
  /** An administrator has revoked the agent. */
  readonly inactive: boolean
  /** A join token lies there that an attestation is worth. */
  readonly freshToken: boolean
  /** Renewal was refused in a way that leads to attestation, or a lock-out may be over. */
  readonly attestNext: boolean
  /** The last attestation was refused, and the next will be until an administrator does something. */
  readonly locked: boolean
}

/** `at`: not before; null: not before something else changes. */
export type NextStep =
  | { readonly step: 'complete' | 'renew' | 'attest'; readonly at: number }
  | { readonly step: 'wait'; readonly at: number | null }

/**
 * What to do next for the agent's own certificate; the only place where that is decided. `attempt-pace.ts`
 * decides how soon a failed step is repeated.
 */
export function nextStep(s: NextStepInput, now: number): NextStep {
  // Complete that answer before any other request, or its join token is wasted.
  if (s.unfinished) return { step: 'complete', at: now }
  // What an administrator has decided no attestation undoes, on whatever platform.
  if (s.inactive && !s.freshToken) return { step: 'wait', at: null }
  if (!s.newest) return { step: 'attest', at: now }
  // Whatever the server issued now would not be valid by this clock either, and a join token would be spent on it.
  if (s.clockWait !== null) return { step: 'wait', at: s.clockWait }
  if (s.inactive || s.attestNext || !s.valid) return { step: 'attest', at: now }
  if (s.refusedForMs !== null && s.newest.workspace) {
    const worthIt = s.freshToken || (s.refusedForMs >= REFUSED_LONG_MS && !s.locked)
    // A renewal is how it is found out whether one of the certificates is accepted again.
    return { step: worthIt ? 'attest' : 'renew', at: now }
  }
  return { step: 'renew', at: Math.min(s.newest.renewAt, s.newIssuerAt ?? Number.POSITIVE_INFINITY) }
}

export interface Due {
  /** The wall-clock moment (ms) of the next attempt; in the past: now. */
  readonly at: number
  /** True while there is no valid identity: without one nothing else works. */
  readonly urgent: boolean
  readonly tier: Tier
}

/**
 * The step as an attempt. `waitMs`: what the pace of attempts leaves to wait. Null where something else has to change
 * first.
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

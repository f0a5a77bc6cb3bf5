import { renewalTier } from '../icp/endpoints.js'
import type { Tier } from '../icp/limits.js'
import type { NextStep } from './next-step.js'

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

/** Certificates that live at least this long are renewed with at least `FLOOR_MS` left. */
const LONG_LIFE_MS = 50 * 60_000
/** Existing SDKs poll for a new SVID every 30 minutes: the one that they hold must be valid until the next poll. */
const FLOOR_MS = 35 * 60_000

/** `agent.renewal_threshold`: the remaining life at which to renew, and whether the user set it. */
export interface RenewalThreshold {
  readonly ms: number
  readonly explicit: boolean
}

/** The input of `renewalTime`. Times in milliseconds since 1970, by the wall clock. */
export interface RenewalInput {
  readonly notBefore: number
  readonly notAfter: number
  /**
   * When the certificate arrived. A CA backdates notBefore (usually by 30 s), and counting that part would make a
   * certificate that lives for seconds due at once. It is a constant of the certificate: with the current time instead,
   * its renewal would recede for ever. If it is unknown, leave it out: the life then counts from notBefore.
   */
  readonly receivedAt?: number
  readonly threshold: RenewalThreshold
  /** In [0, 1], drawn once per certificate, so that certificates issued together are not renewed together. */
  readonly fraction: number
}

/**
 * When to renew a certificate, by the wall clock: when its remaining life is at most min(threshold, half its life) plus a
 * spread of up to a tenth of its life. A certificate that lives 50 minutes or more is renewed with at least 35 minutes
 * left, unless the user set a lower threshold; the spread then runs from those 35 minutes to its usual upper end, so that
 * the floor does not make all renewals coincide.
 *
 * The result lies within the life, at least 30 % of it after the start; for an empty life it is notAfter. A renewal
 * threshold that the server sends does not matter: only the certificate does.
 */
export function renewalTime({ notBefore, notAfter, receivedAt, threshold, fraction }: RenewalInput): number {
  const start = Math.max(notBefore, receivedAt ?? notBefore)
  const life = notAfter - start
  if (life <= 0) return notAfter
  const least = Math.min(Math.max(0, threshold.ms), life / 2)
  const most = least + life / 10
  const loweredOnPurpose = threshold.explicit && threshold.ms < FLOOR_MS
  const floor = life >= LONG_LIFE_MS && !loweredOnPurpose ? FLOOR_MS : 0
  const earliest = Math.max(most, floor)
  const latest = Math.max(least, floor)
  const remaining = latest + (earliest - latest) * Math.min(1, Math.max(0, fraction))
  return Math.round(notAfter - remaining)
}

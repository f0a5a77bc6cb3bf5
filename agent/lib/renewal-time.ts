/** Lives of at least this length keep `FLOOR_MS` in hand. */
const LONG_LIFE_MS = 50 * 60_000
/** SDKs in the field look for a new SVID every 30 minutes: what they hold must outlive the next look. */
const FLOOR_MS = 35 * 60_000

/** `agent.renewal_threshold`: the remaining life at which to renew, and whether the user set it. */
export interface RenewalThreshold {
  readonly ms: number
  readonly explicit: boolean
}

/** What decides when a certificate is renewed. Times in milliseconds since 1970, by the wall clock. */
export interface RenewalInput {
  readonly notBefore: number
  readonly notAfter: number
  /**
   * When the certificate arrived. A CA backdates notBefore (by 30 s as a rule): that part of its life is over on
   * arrival, and counting it would make a life of seconds due at once, again and again. It belongs to the certificate:
   * never pass the current time for one that was received earlier, or its renewal recedes for ever. Where it is not
   * known, leave it out: the life then counts from notBefore.
   */
  readonly receivedAt?: number
  readonly threshold: RenewalThreshold
  /** In [0, 1], drawn once per certificate, so that certificates of one moment are not renewed in one moment. */
  readonly fraction: number
}

/**
 * The wall-clock moment from which a certificate is worth renewing: when what remains of it is at most
 * min(threshold, half its life) plus a spread of up to a tenth of its life. A life of 50 minutes or more is renewed
 * with at least 35 minutes left, unless the user set the threshold lower than that; the spread then runs between those
 * 35 minutes and its usual upper end, so that the floor does not put everything into one instant.
 *
 * The result lies within the life, at least 30 % of it after the start; a life of no length is due at notAfter.
 * The threshold of a server that says 24 hours of a certificate that lives one never matters: only the certificate counts.
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

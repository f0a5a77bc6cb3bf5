import { AgentError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import { REQUESTS_OF_A_BUNDLE_POLL, routineGap } from '../icp/limits.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import { usableAuthorities } from '../identity/usable-authorities.js'
import { Alarm } from '../lib/alarm.js'
import { sleepOut } from '../lib/sleep.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import type { Publisher } from './publisher.js'

export interface BundlePollsOptions {
  readonly pollBundle: (signal: AbortSignal) => Promise<void>
  readonly jwtKeys: { refresh(signal: AbortSignal): Promise<void> }
  readonly limiter: RateLimiter
  readonly clock: Clock
  readonly random: Random
  readonly events: SyncEvents
  /** Read after each poll and at each change of the settings. */
  readonly sync: { readonly bundleIntervalMs: number }
  /** The settings changed. */
  readonly onSettings: (changed: () => void) => Disposable
}

/**
 * Polls the published bundles of X.509-SVIDs and JWT-SVIDs at their own interval. They are charged to the outer limit
 * only, and take at most a third of it. Rejects with the signal's reason, or on a defect.
 */
export async function runBundlePolls(options: BundlePollsOptions, signal: AbortSignal): Promise<void> {
  const { pollBundle, limiter, clock, random, sync } = options
  const alarm = new Alarm(clock)
  using _settings = options.onSettings(() => alarm.ring())
  for (;;) {
    await limiter.whenOpen('service', signal, () => pollBundle(signal))
    await pollJwtKeys(options, signal)
    const shortest = REQUESTS_OF_A_BUNDLE_POLL * routineGap(limiter.pace('service'))
    const spread = 0.9 + 0.2 * random.fraction()
    const polled = clock.monotonic()
    const left = () => polled + Math.max(shortest, sync.bundleIntervalMs * spread) - clock.monotonic()
    await sleepOut(alarm, left, signal)
  }
}

/** Reads the second source of authorities. Most servers publish no bundle, which changes nothing. */
export async function pollBundle(
  {
    controlPlane,
    events,
    publisher,
  }: {
    readonly controlPlane: Pick<ControlPlane, 'bundle'>
    readonly events: SyncEvents
    readonly publisher: Publisher
  },
  signal: AbortSignal,
): Promise<void> {
  try {
    const { authorities, skipped } = usableAuthorities(await controlPlane.bundle(signal))
    events.authoritiesSkipped(skipped)
    const [odd] = skipped
    if (odd && authorities.length === 0) throw odd.error
    events.bundlePolled()
    publisher.named(authorities)
  } catch (error) {
    signal.throwIfAborted()
    if (!(error instanceof AgentError)) throw error
    if (error.code !== 'icp.rate_limited') events.bundlePollFailed(error)
  }
}

/** Reads the JWT bundle after the X.509 bundle. Older servers have none, and issue no JWT-SVIDs. */
async function pollJwtKeys({ jwtKeys, limiter, events }: BundlePollsOptions, signal: AbortSignal): Promise<void> {
  try {
    await limiter.whenOpen('service', signal, () => jwtKeys.refresh(signal), { urgent: true })
    events.jwtKeysPolled()
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error
    if (error.code !== 'icp.rate_limited') events.jwtKeysPollFailed(error)
  }
}

import { setMaxListeners } from 'node:events'
import { AgentError } from '../errors.js'
import { REQUESTS_OF_A_BUNDLE_POLL, routineGap } from '../icp/limits.js'
import type { RateLimiter } from '../icp/rate-limiter.js'
import type { ServerReachability } from '../icp/server-reachability.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import { Alarm } from '../lib/alarm.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import type { Demand } from './demand.js'
import { type Job, nextJob } from './plan.js'
import type { IdentityStore } from './store.js'
import type { Sync } from './sync.js'
import type { SyncPace } from './sync-schedule.js'

/** A request that hangs must not stop the others; more at once gains nothing at this pace. */
const CONCURRENCY = 3
/** While nothing can be issued, nothing is wanted. */
const NO_DEMAND: Pick<Demand, 'ids' | 'want' | 'turnOf'> = { ids: () => [], want: () => undefined, turnOf: () => 0 }
/** While the agent's own renewal waits for a slot, everything else looks again after so long. */
const STAND_BACK_MS = 500

export interface LoopOptions {
  readonly sync: Sync
  readonly jwtKeys: { refresh(signal: AbortSignal): Promise<void> }
  readonly store: IdentityStore
  readonly demand: Demand
  readonly limiter: RateLimiter
  readonly reachability: Pick<ServerReachability, 'onReturn'>
  readonly pace: SyncPace
  readonly clock: Clock
  readonly random: Random
  readonly events: SyncEvents
  /** The agent's SPIFFE ID while its own SVID is valid; without it nothing can be asked. */
  readonly agent: () => SpiffeId | null
  readonly onAgent: (changed: () => void) => Disposable
  readonly bundleIntervalMs: number
}

/**
 * The one loop that asks the server for things: when the rate limiter has a slot open, the plan says what is worth it now.
 * Ends when the signal aborts; rejects only on a defect of our own.
 */
export async function runSync(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const failure = new AbortController()
  const both = AbortSignal.any([signal, failure.signal])
  setMaxListeners(0, both)
  const tasks = [jobs(options, both), bundles(options, both)].map((task) =>
    task.catch((error: unknown) => {
      if (both.aborted) return
      failure.abort(error)
      throw error
    }),
  )
  const ends = await Promise.allSettled(tasks)
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

async function jobs(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const { sync, store, demand, limiter, pace, clock, events } = options
  const alarm = new Alarm(clock)
  const inFlight = new Set<string>()
  const running = new Set<Promise<void>>()
  let defect: unknown = null
  let renewedAt = Number.NEGATIVE_INFINITY
  using _wanted = demand.onWanted(() => alarm.ring())
  using _agent = options.onAgent(() => alarm.ring())
  using _return = options.reachability.onReturn(() => {
    sync.serverReturned()
    sync.revocations.serverReturned()
    alarm.ring()
  })

  const start = (job: Job, agent: SpiffeId) => {
    const name = job.kind === 'issue' ? job.entryId : job.kind
    inFlight.add(name)
    if (job.kind === 'issue' && job.uid !== undefined) demand.tookTurn(job.uid)
    if (job.kind === 'issue' && job.renewal) renewedAt = clock.monotonic()
    const task = perform(sync, job, agent, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) defect ??= error
      })
      .finally(() => {
        inFlight.delete(name)
        running.delete(task)
        alarm.ring()
      })
    running.add(task)
  }

  try {
    for (;;) {
      if (defect) throw defect
      const nextTick = sync.tick() - clock.now()
      let forSlot = false
      const agent = options.agent()
      const waitMs = ((): number => {
        if (!agent || running.size >= CONCURRENCY) return Number.POSITIVE_INFINITY
        if (limiter.urgentWaiting) return STAND_BACK_MS
        const issuesIn = sync.issuesIn
        const revokesIn = inFlight.has('revoke') ? Number.POSITIVE_INFINITY : sync.revocations.opensIn
        const next = nextJob({
          now: clock.now(),
          snapshot: store.current,
          demand: issuesIn > 0 ? NO_DEMAND : demand,
          inFlight,
          syncDueIn: inFlight.has('sync-entries') ? Number.POSITIVE_INFINITY : pace.dueIn(),
          pressure: limiter.pressure('standard'),
          sinceRenewal: clock.monotonic() - renewedAt,
          revocations: revokesIn > 0 ? [] : sync.revocations.serials,
        })
        if ('waitMs' in next)
          return Math.min(next.waitMs, revokesIn, issuesIn > 0 ? issuesIn : Number.POSITIVE_INFINITY)
        const opensIn = limiter.opensIn('standard')
        forSlot = opensIn > 0
        if (forSlot) return opensIn
        start(next.job, agent)
        return 0
      })()
      if (waitMs > 0) {
        const began = clock.monotonic()
        await alarm.sleep(Math.max(1, Math.min(waitMs, nextTick, 2 ** 31 - 1)), signal)
        if (forSlot) events.waitedForSlot(clock.monotonic() - began)
      } else signal.throwIfAborted()
    }
  } finally {
    await Promise.allSettled(running)
  }
}

function perform(sync: Sync, job: Job, agent: SpiffeId, signal: AbortSignal): Promise<void> {
  switch (job.kind) {
    case 'sync-entries':
      return sync.syncEntries(agent, signal)
    case 'issue':
      return sync.issue(job.entryId, agent, signal)
    case 'revoke':
      return sync.revocations.revoke(job.serial, signal)
  }
}

/** Asked for beside the bundle; older servers have none, and then there are no JWT-SVIDs. */
async function pollJwtKeys({ jwtKeys, limiter, events }: LoopOptions, signal: AbortSignal): Promise<void> {
  try {
    await limiter.whenOpen('service', signal, () => jwtKeys.refresh(signal), { urgent: true })
    events.jwtKeysPolled()
  } catch (error) {
    if (signal.aborted || !(error instanceof AgentError)) throw error
    if (error.code !== 'icp.rate_limited') events.jwtKeysPollFailed(error)
  }
}

/** The published bundle, polled at its own interval under the outer limit only, of which polls take a third at most. */
async function bundles(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const { sync, limiter, clock, random, bundleIntervalMs } = options
  for (;;) {
    await limiter.whenOpen('service', signal, () => sync.pollBundle(signal))
    await pollJwtKeys(options, signal)
    const shortest = REQUESTS_OF_A_BUNDLE_POLL * routineGap(limiter.pace('service'))
    const interval = Math.max(shortest, bundleIntervalMs * (0.9 + 0.2 * random.fraction()))
    const due = clock.monotonic() + interval
    for (let wait = due - clock.monotonic(); wait > 0; wait = due - clock.monotonic()) await clock.sleep(wait, signal)
  }
}

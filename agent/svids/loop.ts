import { setMaxListeners } from 'node:events'
import type { ServerReachability } from '../icp/server-reachability.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import { Alarm } from '../lib/alarm.js'
import { type BundlePollsOptions, runBundlePolls } from './bundle-polls.js'
import type { Demand } from './demand.js'
import type { EntrySync } from './entries.js'
import type { Issuance } from './issuance.js'
import type { PassingTime } from './passing-time.js'
import { type Job, nextJob } from './plan.js'
import type { Revocations } from './revocations.js'
import type { SvidStore } from './store.js'
import type { SyncSchedule } from './sync-schedule.js'

/** More than one, so that a hanging request does not stop the others; more gain nothing at this pace. */
const CONCURRENCY = 3
/** The demand while nothing can be issued. */
const NO_DEMAND: Pick<Demand, 'ids' | 'want' | 'turnOf'> = { ids: () => [], want: () => undefined, turnOf: () => 0 }
/** While the agent's own renewal waits for a slot, other jobs wait this long before they check again. */
const STAND_BACK_MS = 500
const LONGEST_SLEEP_MS = 2 ** 31 - 1

export interface LoopOptions extends BundlePollsOptions {
  readonly entrySync: Pick<EntrySync, 'sync'>
  readonly issuance: Pick<Issuance, 'issue' | 'opensIn' | 'serverReturned'>
  readonly revocations: Revocations
  readonly time: Pick<PassingTime, 'tick'>
  readonly store: SvidStore
  readonly demand: Demand
  readonly reachability: Pick<ServerReachability, 'onReturn'>
  readonly schedule: SyncSchedule
  /** The agent's SPIFFE ID while its own SVID is valid; without it no request can be sent. */
  readonly agent: () => SpiffeId | null
  readonly onAgent: (changed: () => void) => Disposable
}

/** What the loop does now: a job, or a wait. `forSlot`: a job waits for the rate limiter. */
type Step = { readonly job: Job; readonly agent: SpiffeId } | { readonly waitMs: number; readonly forSlot?: true }

/**
 * The loop that sends requests of sync to the server, concurrently with the bundle polls. When the rate limiter has an
 * open slot, the plan picks the job. Ends when the signal aborts; rejects only on a defect.
 */
export async function runSync(options: LoopOptions, signal: AbortSignal): Promise<void> {
  const failure = new AbortController()
  const both = AbortSignal.any([signal, failure.signal])
  setMaxListeners(0, both)
  const tasks = [new Jobs(options).run(both), runBundlePolls(options, both)].map((task) =>
    task.catch((error: unknown) => {
      if (both.aborted) return
      failure.abort(error)
      throw error
    }),
  )
  const ends = await Promise.allSettled(tasks)
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

class Jobs {
  readonly #alarm: Alarm
  /** Ids of entries whose issuance is in progress, and kinds of other jobs in progress. */
  readonly #inFlight = new Set<string>()
  readonly #running = new Set<Promise<void>>()
  #defect: unknown = null
  #renewedAt = Number.NEGATIVE_INFINITY

  constructor(private readonly options: LoopOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  async run(signal: AbortSignal): Promise<void> {
    const { demand, schedule, onAgent, onSettings, reachability, time, clock } = this.options
    using _wanted = demand.onWanted(() => this.#alarm.ring())
    using _sooner = schedule.onSooner(() => this.#alarm.ring())
    using _agent = onAgent(() => this.#alarm.ring())
    using _settings = onSettings(() => this.#alarm.ring())
    using _return = reachability.onReturn(() => this.#serverReturned())
    try {
      for (;;) {
        if (this.#defect) throw this.#defect
        const nextTick = time.tick() - clock.now()
        const step = this.#next()
        if ('job' in step) this.#start(step.job, step.agent, signal)
        if ('job' in step || step.waitMs <= 0) signal.throwIfAborted()
        else await this.#wait(step, nextTick, signal)
      }
    } finally {
      await Promise.allSettled(this.#running)
    }
  }

  #next(): Step {
    const { store, demand, limiter, schedule, clock, issuance, revocations } = this.options
    const agent = this.options.agent()
    if (!agent || this.#running.size >= CONCURRENCY) return { waitMs: Number.POSITIVE_INFINITY }
    if (limiter.urgentWaiting) return { waitMs: STAND_BACK_MS }
    const issuesIn = issuance.opensIn
    const revokesIn = this.#inFlight.has('revoke') ? Number.POSITIVE_INFINITY : revocations.opensIn
    const next = nextJob({
      now: clock.now(),
      snapshot: store.current,
      demand: issuesIn > 0 ? NO_DEMAND : demand,
      inFlight: this.#inFlight,
      syncDueIn: this.#inFlight.has('sync-entries') ? Number.POSITIVE_INFINITY : schedule.dueIn(),
      pressure: limiter.pressure('standard'),
      sinceRenewal: clock.monotonic() - this.#renewedAt,
      revocations: revokesIn > 0 ? [] : revocations.serials,
    })
    if ('waitMs' in next) {
      return { waitMs: Math.min(next.waitMs, revokesIn, issuesIn > 0 ? issuesIn : Number.POSITIVE_INFINITY) }
    }
    const opensIn = limiter.opensIn('standard')
    return opensIn > 0 ? { waitMs: opensIn, forSlot: true } : { job: next.job, agent }
  }

  async #wait({ waitMs, forSlot }: Extract<Step, { waitMs: number }>, nextTick: number, signal: AbortSignal) {
    const { clock, events } = this.options
    const began = clock.monotonic()
    await this.#alarm.sleep(Math.max(1, Math.min(waitMs, nextTick, LONGEST_SLEEP_MS)), signal)
    if (forSlot) events.waitedForSlot(clock.monotonic() - began)
  }

  #start(job: Job, agent: SpiffeId, signal: AbortSignal): void {
    const { demand, clock } = this.options
    const name = job.kind === 'issue' ? job.entryId : job.kind
    this.#inFlight.add(name)
    if (job.kind === 'issue' && job.uid !== undefined) demand.tookTurn(job.uid)
    if (job.kind === 'issue' && job.renewal) this.#renewedAt = clock.monotonic()
    const task = this.#perform(job, agent, signal)
      .catch((error: unknown) => {
        if (!signal.aborted) this.#defect ??= error
      })
      .finally(() => {
        this.#inFlight.delete(name)
        this.#running.delete(task)
        this.#alarm.ring()
      })
    this.#running.add(task)
  }

  #perform(job: Job, agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { entrySync, issuance, revocations } = this.options
    switch (job.kind) {
      case 'sync-entries':
        return entrySync.sync(agent, signal)
      case 'issue':
        return issuance.issue(job.entryId, agent, signal)
      case 'revoke':
        return revocations.revoke(job.serial, signal)
    }
  }

  /** Retries at the next slot what failed without an answer. */
  #serverReturned(): void {
    const { schedule, issuance, revocations } = this.options
    schedule.soon()
    issuance.serverReturned()
    revocations.serverReturned()
    this.#alarm.ring()
  }
}

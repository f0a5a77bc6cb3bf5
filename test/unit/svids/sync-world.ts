import type { Tier } from '../../../agent/errors.js'
import { AgentError } from '../../../agent/errors.js'
import type { WithCommonName } from '../../../agent/icp/common-name.js'
import type { ControlPlane } from '../../../agent/icp/control-plane.js'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import type { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { syncEvents } from '../../../agent/observability/sync-events.js'
import type { AuthorityHistoryState } from '../../../agent/svids/authority-history.js'
import { pollBundle } from '../../../agent/svids/bundle-polls.js'
import { Demand } from '../../../agent/svids/demand.js'
import { EntrySync } from '../../../agent/svids/entries.js'
import { Issuance } from '../../../agent/svids/issuance.js'
import { runSync } from '../../../agent/svids/loop.js'
import { PassingTime } from '../../../agent/svids/passing-time.js'
import { Publisher } from '../../../agent/svids/publisher.js'
import { type EarlierRun, restoreSnapshot } from '../../../agent/svids/restore.js'
import { Revocations } from '../../../agent/svids/revocations.js'
import type { SnapshotChange } from '../../../agent/svids/snapshot.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { SyncSchedule } from '../../../agent/svids/sync-schedule.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeControlPlane, type FakeOptions } from '../../fakes/control-plane.js'
import { FixedKeys } from '../../fakes/keys.js'
import { fixedRandom, seededRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'

export const MINUTE = 60_000
export const HOUR = 60 * MINUTE
export const TRUST_DELAY = 10 * MINUTE

export interface WorldOptions extends Omit<FakeOptions, 'clock'> {
  readonly revokeRemoved?: boolean
  readonly withCommonName?: WithCommonName
  /** `sync.interval` and `sync.bundle_interval`. */
  readonly syncMs?: number
  readonly bundleMs?: number
  /** The server of another world, whose clock and CA are shared then. */
  readonly server?: FakeControlPlane
  /** Of what is drawn; without one it is the middle each time. */
  readonly seed?: number
  /** What stands between this agent and the server. */
  readonly between?: (server: ControlPlane) => ControlPlane
}

/** The jobs of the loop; counts those that run, so that tests can wait for keys and signatures, which take real time. */
class Jobs {
  busy = 0
  most = 0

  constructor(
    private readonly parts: {
      readonly publisher: Publisher
      readonly issuance: Issuance
      readonly entrySync: EntrySync
      readonly time: PassingTime
      readonly revocations: Revocations
      readonly pollBundle: (signal: AbortSignal) => Promise<void>
    },
    private readonly store: SvidStore,
  ) {}

  get revocations(): Revocations {
    return this.parts.revocations
  }
  get issuesIn(): number {
    return this.parts.issuance.opensIn
  }
  get history() {
    return this.parts.publisher.history
  }
  get lastSync(): number | null {
    return this.parts.entrySync.lastAt
  }
  get rejected(): ReadonlyMap<string, string> {
    return this.parts.entrySync.rejected
  }
  tick(): number {
    return this.parts.time.tick()
  }
  restore(snapshot: EarlierRun['snapshot'], history: AuthorityHistoryState): void {
    restoreSnapshot({ ...this.parts, store: this.store }, { snapshot, history })
  }
  syncEntries(...args: Parameters<EntrySync['sync']>): Promise<void> {
    return this.#watch(this.parts.entrySync.sync(...args))
  }
  issue(...args: Parameters<Issuance['issue']>): Promise<void> {
    return this.#watch(this.parts.issuance.issue(...args))
  }
  pollBundle(signal: AbortSignal): Promise<void> {
    return this.#watch(this.parts.pollBundle(signal))
  }
  serverReturned(): void {
    this.parts.issuance.serverReturned()
  }
  async #watch(job: Promise<void>): Promise<void> {
    this.most = Math.max(this.most, ++this.busy)
    try {
      await job
    } finally {
      this.busy--
    }
  }
}

/** The server flow of an agent whose server is in memory; time passes when the test says so. */
export class SyncWorld {
  readonly clock: FakeClock
  readonly sinks = new RecordedSinks()
  readonly store = new SvidStore()
  readonly demand: Demand
  readonly limiter: RateLimiter
  readonly schedule: SyncSchedule
  readonly reachability: ServerReachability
  readonly sync: Jobs
  readonly published: SnapshotChange[] = []
  readonly stop = new AbortController()
  /** The agent's identity; null while it has none. */
  agent: SpiffeId | null
  readonly #agentListeners = new Set<() => void>()
  readonly #options
  readonly #bundleMs: number

  private constructor(
    readonly server: FakeControlPlane,
    keys: FixedKeys,
    options: WorldOptions,
  ) {
    const { revokeRemoved = false, withCommonName = (attempt) => attempt('svid@localhost') } = options
    const { syncMs = 30_000, bundleMs = 5 * MINUTE, between = (inner) => inner } = options
    const clock = server.options.clock as FakeClock
    this.clock = clock
    const random = options.seed === undefined ? fixedRandom(0.5) : seededRandom(options.seed)
    this.#bundleMs = bundleMs
    this.demand = new Demand(clock)
    this.limiter = new RateLimiter(clock, fixedRandom(0))
    this.schedule = new SyncSchedule(clock, random, { intervalMs: syncMs, maxIntervalMs: 10 * MINUTE }, this.limiter)
    this.reachability = new ServerReachability(clock)
    this.agent = server.agent
    const events = syncEvents(this.sinks, clock)
    this.#options = {
      clock,
      random,
      events,
      store: this.store,
      demand: this.demand,
      limiter: this.limiter,
      schedule: this.schedule,
    }
    const onLimited = (tier: Tier) => (tier === 'standard' || tier === 'service' ? this.schedule.limited() : undefined)
    const controlPlane = limitedControlPlane(
      between(server),
      { limiter: this.limiter, reachability: this.reachability, onLimited },
      () => true,
    )
    const common = { ...this.#options, controlPlane }
    const publisher = new Publisher({ ...common, account: server.tenantId })
    const issuing = {
      keys,
      withCommonName,
      threshold: { ms: 6 * HOUR, explicit: false },
      trustDelayMs: TRUST_DELAY,
      retryBackoffMs: 5_000,
    }
    const issuance = new Issuance({ ...common, ...issuing }, publisher)
    const revocations = new Revocations(common)
    const entrySync = new EntrySync({ ...common, revokeRemoved }, { publisher, issuance, revocations })
    const time = new PassingTime(common, publisher)
    const poll = (signal: AbortSignal) => pollBundle({ controlPlane, events, publisher }, signal)
    this.sync = new Jobs({ publisher, issuance, revocations, entrySync, time, pollBundle: poll }, this.store)
    this.store.observe((change) => this.published.push(change))
  }

  static async create(options: WorldOptions = {}): Promise<SyncWorld> {
    const server = options.server ?? (await FakeControlPlane.create({ ...options, clock: new FakeClock() }))
    return new SyncWorld(server, await FixedKeys.create(), options)
  }

  /** Reads the entries once. */
  async synced(): Promise<void> {
    await this.sync.syncEntries(this.server.agent, this.stop.signal)
  }

  async issue(id: string): Promise<void> {
    await this.sync.issue(id, this.server.agent, this.stop.signal)
  }

  state(id: string) {
    return this.store.current.states.get(id)
  }

  /** The SVID in service, or a defect of the test. */
  svid(id: string) {
    const state = this.state(id)
    if (state?.kind !== 'issued') throw new TypeError(`${id} is not issued but ${state?.kind}`)
    return state.held.svid
  }

  /** The loop, until `stop` aborts. */
  run(jwtKeys = { refresh: async (): Promise<void> => undefined }): Promise<void> {
    const { sync } = this
    return runSync(
      {
        ...this.#options,
        entrySync: { sync: (...args) => sync.syncEntries(...args) },
        issuance: {
          get opensIn() {
            return sync.issuesIn
          },
          issue: (...args) => sync.issue(...args),
          serverReturned: () => sync.serverReturned(),
        },
        revocations: sync.revocations,
        time: sync,
        pollBundle: (signal) => sync.pollBundle(signal),
        jwtKeys,
        reachability: this.reachability,
        agent: () => this.agent,
        onAgent: (changed) => {
          this.#agentListeners.add(changed)
          return { [Symbol.dispose]: () => void this.#agentListeners.delete(changed) }
        },
        sync: { bundleIntervalMs: this.#bundleMs },
        onSettings: () => ({ [Symbol.dispose]: () => undefined }),
      },
      this.stop.signal,
    )
  }

  setAgent(agent: SpiffeId | null): void {
    this.agent = agent
    for (const changed of this.#agentListeners) changed()
  }

  get listeners(): number {
    return this.#agentListeners.size
  }

  /** Time passes second by second; whatever needs no time on the clock is done in between. */
  async pass(ms: number, step = 1_000): Promise<void> {
    await this.quiet()
    for (let left = ms; left > 0; left -= step) {
      await this.clock.advance(Math.min(step, left))
      await this.quiet()
    }
  }

  /**
   * Waits for jobs that wait for nothing but the processor, also where a loaded machine takes seconds for a signature: a
   * wait that is given up early is time on the clock that nobody meant. The bound ends a wait that only the clock ends.
   */
  async quiet(): Promise<void> {
    await settle()
    for (let turn = 0; turn < 200_000 && this.sync.busy > 0 && !this.server.asleep; turn++) await settle()
  }
}

export function serverError(status = 500): AgentError {
  return new AgentError('icp.server_error', `the fake server answers ${status}`, { details: { status } })
}

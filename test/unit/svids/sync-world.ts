import { AgentError } from '../../../agent/errors.js'
import type { WithCommonName } from '../../../agent/icp/common-name.js'
import type { ControlPlane } from '../../../agent/icp/control-plane.js'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import type { Tier } from '../../../agent/icp/limits.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import type { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { syncEvents } from '../../../agent/observability/sync-events.js'
import { Demand } from '../../../agent/svids/demand.js'
import { runSync } from '../../../agent/svids/loop.js'
import type { Change } from '../../../agent/svids/snapshot.js'
import { IdentityStore } from '../../../agent/svids/store.js'
import { Sync } from '../../../agent/svids/sync.js'
import { SyncPace } from '../../../agent/svids/sync-schedule.js'
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

/** Counts the jobs that run, so that tests can wait for keys and signatures, which take real time. */
class WatchedSync extends Sync {
  busy = 0
  most = 0
  override syncEntries(...args: Parameters<Sync['syncEntries']>): Promise<void> {
    return this.#watch(super.syncEntries(...args))
  }
  override issue(...args: Parameters<Sync['issue']>): Promise<void> {
    return this.#watch(super.issue(...args))
  }
  override pollBundle(...args: Parameters<Sync['pollBundle']>): Promise<void> {
    return this.#watch(super.pollBundle(...args))
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
  readonly store = new IdentityStore()
  readonly demand: Demand
  readonly limiter: RateLimiter
  readonly pace: SyncPace
  readonly reachability: ServerReachability
  readonly sync: WatchedSync
  readonly published: Change[] = []
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
    this.pace = new SyncPace(clock, random, { intervalMs: syncMs, maxIntervalMs: 10 * MINUTE }, this.limiter)
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
      pace: this.pace,
    }
    const onLimited = (tier: Tier) => (tier === 'standard' || tier === 'service' ? this.pace.limited() : undefined)
    this.sync = new WatchedSync({
      ...this.#options,
      controlPlane: limitedControlPlane(
        between(server),
        { limiter: this.limiter, reachability: this.reachability, onLimited },
        () => true,
      ),
      keys,
      withCommonName,
      threshold: { ms: 6 * HOUR, explicit: false },
      account: server.tenantId,
      trustDelayMs: TRUST_DELAY,
      retryBackoffMs: 5_000,
      revokeRemoved,
    })
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
    return runSync(
      {
        ...this.#options,
        sync: this.sync,
        jwtKeys,
        reachability: this.reachability,
        agent: () => this.agent,
        onAgent: (changed) => {
          this.#agentListeners.add(changed)
          return { [Symbol.dispose]: () => void this.#agentListeners.delete(changed) }
        },
        bundleIntervalMs: this.#bundleMs,
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

  /** Waits for jobs that wait for nothing but the processor. */
  async quiet(): Promise<void> {
    await settle()
    for (let turn = 0; turn < 2_000 && this.sync.busy > 0 && !this.server.asleep; turn++) await settle()
  }
}

export function serverError(status = 500): AgentError {
  return new AgentError('icp.server_error', `the fake server answers ${status}`, { details: { status } })
}

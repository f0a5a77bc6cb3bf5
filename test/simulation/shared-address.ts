import { Secret } from '../../agent/crypto/secret.js'
import { RateLimiter } from '../../agent/icp/rate-limiter.js'
import type { Entry } from '../../agent/identity/entry.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { X509Svid } from '../../agent/identity/x509-svid.js'
import { renewalTime } from '../../agent/lib/renewal-time.js'
import { Demand } from '../../agent/svids/demand.js'
import { type EntryState, transition } from '../../agent/svids/entry-state.js'
import { nextJob } from '../../agent/svids/plan.js'
import { type Tick, tick } from '../../agent/svids/state-changes.js'
import { SyncSchedule } from '../../agent/svids/sync-schedule.js'
import { seededRandom } from '../fakes/random.js'
import { Agenda } from './agenda.js'
import { ServerLimits } from './server-limits.js'

/** Agents behind one address and a server with its real limits, in virtual time, driven by the production functions. */
export interface Scenario {
  readonly agents: number
  /** Entries in use, of all agents together. */
  readonly entries: number
  readonly hours: number
  readonly svidLifeMs?: number
  readonly seed?: number
  /** The part of the entries that the first agent has; default: its fair share. */
  readonly firstHas?: number
  /** On each agent, programs that match no entry and ask each second, each one a subject. */
  readonly unmatched?: number
}

export interface Outcome {
  /** SVIDs that ended before they were renewed. */
  readonly expired: number
  /** Entries that had not got their first SVID by the end. */
  readonly unissued: number
  readonly issued: number
  readonly syncs: number
  /** Answers 429. */
  readonly limited: number
  /** Least life that an SVID in service had left when it was renewed, in minutes. */
  readonly leastLeftMinutes: number
  /** Of a hundred renewals all but one had at least so many minutes left. */
  readonly usualLeftMinutes: number
  /** When every entry had its first SVID, in minutes. */
  readonly allIssuedAtMinutes: number
  /** Longest sync interval in force at the end, in seconds. */
  readonly syncIntervalSeconds: number
}

const LATENCY_MS = 150
const BUNDLE_INTERVAL_MS = 300_000
const CONCURRENCY = 3
const THRESHOLD = { ms: 6 * 3_600_000, explicit: false }
const START = Date.parse('2026-01-01T00:00:00Z')
const HOUR_MS = 3_600_000

export function simulate(scenario: Scenario): Outcome {
  const world = new World(scenario)
  const agents = sharesOf(scenario).map((share, n) => new SimulatedAgent(world, share, n))
  for (const agent of agents) agent.begin()
  world.run(scenario.hours * HOUR_MS)
  const left = world.left.sort((a, b) => a - b)
  const minutes = (ms: number | undefined) => (ms === undefined ? -1 : Math.round(ms / 6000) / 10)
  return {
    expired: world.expired,
    unissued: scenario.entries - world.served,
    issued: world.issued,
    syncs: world.syncs,
    limited: world.limited,
    leastLeftMinutes: minutes(left[0]),
    usualLeftMinutes: minutes(left[Math.floor(left.length / 100)]),
    allIssuedAtMinutes: minutes(world.firstIssuedAt),
    syncIntervalSeconds: Math.round(Math.max(...agents.map((agent) => agent.schedule.intervalMs)) / 1000),
  }
}

/** Numbers of the entries of each agent. */
function sharesOf({ agents, entries, firstHas }: Scenario): number[][] {
  const shares = Array.from({ length: agents }, () => [] as number[])
  const ofFirst = firstHas === undefined ? 0 : Math.round(entries * firstHas)
  for (let i = 0; i < entries; i++) {
    const others = firstHas === undefined || agents === 1 ? i % agents : 1 + (i % (agents - 1))
    shares[i < ofFirst ? 0 : others]?.push(i)
  }
  return shares
}

/** Time, the server and what is counted. */
class World {
  t = 0
  readonly clock = {
    now: () => START + this.t,
    monotonic: () => this.t,
    sleep: () => Promise.reject(new TypeError('the agenda wakes whoever waits')),
  }
  readonly agenda = new Agenda()
  readonly limits = new ServerLimits()
  readonly left: number[] = []
  expired = 0
  /** Entries that got an SVID, ever. */
  served = 0
  issued = 0
  syncs = 0
  limited = 0
  firstIssuedAt = 0

  constructor(readonly scenario: Scenario) {}

  run(until: number): void {
    for (let event = this.agenda.pop(); event && event.at <= until; event = this.agenda.pop()) {
      this.t = event.at
      event.run()
    }
  }
}

/** One agent: its loop asks the production plan what is worth a request whenever its production limiter is open. */
class SimulatedAgent {
  readonly schedule: SyncSchedule
  readonly #random
  readonly #limiter: RateLimiter
  readonly #demand: Demand
  readonly #entries = new Map<string, Entry>()
  readonly #states = new Map<string, EntryState>()
  readonly #inFlight = new Set<string>()
  #synced = false
  #ticked: Tick = { changed: new Map(), nextAt: Number.POSITIVE_INFINITY }
  #wakeAt = Number.POSITIVE_INFINITY
  #ownDueAt = 0
  #running = 0
  #renewedAt = Number.NEGATIVE_INFINITY

  constructor(
    private readonly world: World,
    private readonly share: readonly number[],
    n: number,
  ) {
    const { clock, scenario } = world
    this.#random = seededRandom((scenario.seed ?? 1) * 1000 + n)
    this.#limiter = new RateLimiter(clock, this.#random)
    this.schedule = new SyncSchedule(clock, this.#random, { intervalMs: 30_000, maxIntervalMs: 600_000 }, this.#limiter)
    this.#demand = new Demand(clock)
  }

  begin(): void {
    this.#wakeIn(this.#random.fraction() * 1000)
    this.world.agenda.push(this.#random.fraction() * 5000, () => this.#pollBundle())
    this.schedule.onSooner(() => this.#wakeIn(0))
    for (let i = 0; i < (this.world.scenario.unmatched ?? 0); i++) this.#askInVain(`container:${i}`)
  }

  #askInVain(subject: string): void {
    if (this.#synced) this.schedule.unmatched(subject)
    this.world.agenda.push(this.world.t + 1000, () => this.#askInVain(subject))
  }

  /** One wake-up at a time, the soonest that anybody asked for. */
  #wakeIn(ms: number): void {
    const at = this.world.t + ms
    if (at >= this.#wakeAt) return
    this.#wakeAt = at
    this.world.agenda.push(at, () => {
      if (this.#wakeAt !== at) return
      this.#wakeAt = Number.POSITIVE_INFINITY
      while (this.#step());
    })
  }

  /** False when there is nothing to do now; then a wake-up is set. */
  #step(): boolean {
    const now = this.world.clock.now()
    if (now >= this.#ticked.nextAt) this.#tick(now)
    if (this.#running >= CONCURRENCY) return false
    const opensIn = this.#limiter.opensIn('standard')
    if (opensIn > 0) {
      this.#wakeIn(opensIn)
      return false
    }
    if (this.#synced && this.world.t >= this.#ownDueAt) {
      this.#renewItself()
      return true
    }
    const next = nextJob({
      now,
      snapshot: { synced: this.#synced, entries: this.#entries, states: this.#states },
      demand: this.#demand,
      inFlight: this.#inFlight,
      syncDueIn: this.#inFlight.has('sync-entries') ? Number.POSITIVE_INFINITY : this.schedule.dueIn(),
      pressure: this.#limiter.pressure('standard'),
      sinceRenewal: this.world.t - this.#renewedAt,
      revocations: [],
    })
    if ('waitMs' in next) {
      this.#wakeIn(Math.max(1, Math.min(next.waitMs, this.#ticked.nextAt - now)))
      return false
    }
    if (next.job.kind === 'sync-entries') this.#sync()
    else if (next.job.kind === 'issue') {
      if (next.job.renewal) this.#renewedAt = this.world.t
      this.#issue(next.job.entryId, next.job.uid)
    }
    return true
  }

  #request(tier: 'standard' | 'service', done: (passed: boolean) => void): void {
    const { world } = this
    this.#limiter.charge(tier)
    this.#running++
    world.agenda.push(world.t + LATENCY_MS, () => {
      this.#running--
      const retryAfter = world.limits.refuses(tier, world.t)
      if (retryAfter === null) this.#limiter.passed(tier)
      else {
        world.limited++
        this.#limiter.limited(tier, retryAfter)
        if (tier === 'standard') this.schedule.limited()
      }
      done(retryAfter === null)
      this.#wakeIn(0)
    })
  }

  /** The agent's own SVID; it goes ahead of everything. */
  #renewItself(): void {
    this.#ownDueAt = Number.POSITIVE_INFINITY
    this.#request('standard', (passed) => {
      this.#ownDueAt = this.world.t + (passed ? 25 * 60_000 : 0)
    })
  }

  #sync(): void {
    this.#inFlight.add('sync-entries')
    this.schedule.began({ known: this.#synced })
    this.#request('standard', (passed) => {
      this.#inFlight.delete('sync-entries')
      if (!passed) return
      this.schedule.synced()
      this.world.syncs++
      if (this.#synced) return
      this.#synced = true
      for (const i of this.share) this.#entries.set(`e${i}`, entryOf(i))
      this.#demand.use(1000).entries([...this.#entries.keys()])
    })
  }

  #issue(id: string, uid: number | undefined): void {
    const { world } = this
    this.#inFlight.add(id)
    if (uid !== undefined) this.#demand.tookTurn(uid)
    this.#request('standard', (passed) => {
      this.#inFlight.delete(id)
      if (!passed) return
      const now = world.clock.now()
      const before = this.#states.get(id)
      if (before?.kind === 'issued') world.left.push(before.held.svid.notAfter - now)
      if (before === undefined) {
        world.served++
        world.firstIssuedAt = world.t
      }
      const svid = svidOf(id, now, world.scenario.svidLifeMs ?? HOUR_MS)
      const renewAt = renewalTime({ ...svid, threshold: THRESHOLD, fraction: this.#random.fraction() })
      this.#states.set(id, transition(before, { kind: 'issued', held: { svid, renewAt }, servableFrom: 0 }, now))
      this.#ticked = { ...this.#ticked, nextAt: Math.min(this.#ticked.nextAt, svid.notAfter) }
      world.issued++
    })
  }

  #tick(now: number): void {
    this.#ticked = tick(this.#states, now)
    for (const [id, state] of this.#ticked.changed) {
      this.#states.set(id, state)
      if (state.kind === 'wanted') this.world.expired++
    }
  }

  #pollBundle(): void {
    const { world } = this
    if (this.#limiter.opensIn('service') === 0) this.#request('service', () => {})
    world.agenda.push(world.t + BUNDLE_INTERVAL_MS * (0.9 + 0.2 * this.#random.fraction()), () => this.#pollBundle())
  }
}

function entryOf(i: number): Entry {
  return {
    id: `e${i}`,
    spiffeId: SpiffeId.parse(`spiffe://example.org/workload/${i}`),
    assigned: true,
    selectors: new Map([['unix:uid', String(i)]]),
    ttlSeconds: 3600,
    createdAt: i,
  }
}

const SOME_ID = SpiffeId.parse('spiffe://example.org/workload')
const NO_KEY = new Secret(new Uint8Array())

function svidOf(id: string, now: number, life: number): X509Svid {
  return {
    spiffeId: SOME_ID,
    chain: [],
    privateKey: NO_KEY,
    serial: id,
    notBefore: now,
    notAfter: now + life,
    hasBasicConstraints: true,
    authority: 'ca',
  }
}

import { createHash } from 'node:crypto'
import { Secret } from '../../agent/crypto/secret.js'
import { Budget } from '../../agent/icp/budget.js'
import type { Entry } from '../../agent/identity/entry.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import type { X509Svid } from '../../agent/identity/x509-svid.js'
import { renewalTime } from '../../agent/rotation/renewal-time.js'
import { Demand } from '../../agent/store/demand.js'
import type { EntryState } from '../../agent/store/snapshot.js'
import { issued, tick } from '../../agent/sync/outcomes.js'
import { nextJob } from '../../agent/sync/plan.js'
import { SyncPace } from '../../agent/sync/sync-pace.js'
import { seededRandom } from '../fakes/random.js'

/** Agents behind one address and a server with its real limits, in virtual time, driven by the production functions. */
export interface Scenario {
  readonly agents: number
  /** Entries in use, of all agents together. */
  readonly entries: number
  readonly hours: number
  readonly svidLifeMs?: number
  readonly seed?: number
}

export interface Outcome {
  readonly expired: number
  readonly issued: number
  readonly syncs: number
  readonly limited: number
  /** Least life that an SVID in service had left at a renewal, in minutes. */
  readonly leastLeftMinutes: number
  /** When the last entry got its first SVID, in minutes. */
  readonly allIssuedAtMinutes: number
  /** Longest sync interval in force at the end, in seconds. */
  readonly syncIntervalSeconds: number
}

const LATENCY_MS = 150
const BUNDLE_INTERVAL_MS = 300_000
const THRESHOLD = { ms: 6 * 3_600_000, explicit: false }
const START = Date.parse('2026-01-01T00:00:00Z')

/** Token bucket of the standard tier and the sliding window around everything, for one client address. */
class ServerLimits {
  #tokens = 10
  #filledAt = 0
  #window: number[] = []

  /** Null when the request passes, else the milliseconds of Retry-After. */
  refuses(tier: 'standard' | 'open', now: number): number | null {
    while (this.#window[0] !== undefined && this.#window[0] <= now - 60_000) this.#window.shift()
    if (this.#window.length >= 100) return 60_000
    if (tier === 'standard') {
      this.#tokens = Math.min(10, this.#tokens + (now - this.#filledAt) * (30 / 60_000))
      this.#filledAt = now
      if (this.#tokens < 1) return 60_000
      this.#tokens -= 1
    }
    this.#window.push(now)
    return null
  }
}

interface Event {
  readonly at: number
  readonly run: () => void
}

/** Events in time order; ties keep their order. A binary heap would do; a bucketed list is enough for this size. */
class Agenda {
  #events: Event[] = []
  push(at: number, run: () => void): void {
    let low = 0
    let high = this.#events.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#events[middle] as Event).at <= at) high = middle
      else low = middle + 1
    }
    this.#events.splice(low, 0, { at, run })
  }
  pop(): Event | undefined {
    return this.#events.pop()
  }
}

export function simulate(scenario: Scenario): Outcome {
  const life = scenario.svidLifeMs ?? 3_600_000
  const limits = new ServerLimits()
  const agenda = new Agenda()
  const end = scenario.hours * 3_600_000
  const out = { expired: 0, issued: 0, syncs: 0, limited: 0, leastLeft: Number.POSITIVE_INFINITY, allIssuedAt: 0 }
  let t = 0
  const clock = { now: () => START + t, monotonic: () => t }
  const paces: SyncPace[] = []

  for (let a = 0; a < scenario.agents; a++) {
    const random = seededRandom((scenario.seed ?? 1) * 1000 + a)
    const budget = new Budget(clock, random)
    const pace = new SyncPace(clock, random, { intervalMs: 30_000, maxIntervalMs: 600_000 })
    paces.push(pace)
    const demand = new Demand(clock)
    const mine = Array.from({ length: scenario.entries }, (_, i) => i).filter((i) => i % scenario.agents === a)
    const entries = new Map<string, Entry>()
    let states: ReadonlyMap<string, EntryState> = new Map()
    let synced = false
    const inFlight = new Set<string>()
    const renewals = { dueAt: 0, pending: false }

    const request = (tier: 'standard' | 'open', after: (passed: boolean) => void) => {
      budget.take(tier)
      agenda.push(t + LATENCY_MS, () => {
        const retryAfter = limits.refuses(tier, t)
        if (retryAfter === null) budget.passed(tier)
        else {
          out.limited++
          budget.limited(tier, retryAfter)
          if (tier === 'standard') pace.limited()
        }
        after(retryAfter === null)
        wake()
      })
    }
    let scheduled: number | null = null
    const wake = () => {
      if (scheduled === t) return
      scheduled = t
      agenda.push(t, step)
    }
    const step = () => {
      scheduled = null
      const gone = tick(states, clock.now())
      if (gone.changed.size > 0) {
        for (const state of gone.changed.values()) if (state.kind === 'wanted') out.expired++
        states = new Map([...states, ...gone.changed])
      }
      const opensIn = budget.opensIn('standard')
      if (opensIn > 0) return void agenda.push(t + opensIn, wake)
      // The agent's own renewal goes ahead of everything.
      if (synced && !renewals.pending && t >= renewals.dueAt) {
        renewals.pending = true
        return request('standard', (passed) => {
          renewals.pending = false
          if (passed) renewals.dueAt = t + 25 * 60_000
        })
      }
      const next = nextJob({
        now: clock.now(),
        snapshot: { synced, entries, states },
        demand,
        inFlight,
        syncDueIn: pace.dueIn(),
        revocations: [],
      })
      if ('waitMs' in next) return void agenda.push(t + Math.max(1, Math.min(next.waitMs, gone.nextAt - clock.now())), wake)
      const { job } = next
      if (job.kind === 'sync-entries') {
        return request('standard', (passed) => {
          if (!passed) return
          pace.synced()
          out.syncs++
          if (!synced) {
            for (const i of mine) entries.set(`e${i}`, entryOf(i))
            demand.use(1000).entries([...entries.keys()])
          }
          synced = true
        })
      }
      if (job.kind !== 'issue') throw new TypeError('nothing is revoked here')
      inFlight.add(job.entryId)
      if (job.uid !== undefined) demand.tookTurn(job.uid)
      request('standard', (passed) => {
        inFlight.delete(job.entryId)
        if (!passed) return
        const before = states.get(job.entryId)
        if (before?.kind === 'issued') out.leastLeft = Math.min(out.leastLeft, before.held.svid.notAfter - clock.now())
        else out.allIssuedAt = t
        const now = clock.now()
        const renewAt = renewalTime({
          notBefore: now,
          notAfter: now + life,
          threshold: THRESHOLD,
          fraction: random.fraction(),
        })
        const state = issued(before, { svid: svidOf(job.entryId, now, life), renewAt }, now, 0)
        states = new Map(states).set(job.entryId, state)
        out.issued++
      })
      // Several may be under way at once, as in production.
      wake()
    }
    const pollBundle = () => {
      if (budget.opensIn('open') === 0) request('open', () => {})
      agenda.push(t + BUNDLE_INTERVAL_MS * (0.9 + 0.2 * random.fraction()), pollBundle)
    }
    agenda.push(random.fraction() * 1000, wake)
    agenda.push(random.fraction() * 5000, pollBundle)
  }

  for (let event = agenda.pop(); event && event.at <= end; event = agenda.pop()) {
    t = event.at
    event.run()
  }
  return {
    expired: out.expired,
    issued: out.issued,
    syncs: out.syncs,
    limited: out.limited,
    leastLeftMinutes: Math.round(out.leastLeft / 6000) / 10,
    allIssuedAtMinutes: Math.round(out.allIssuedAt / 6000) / 10,
    syncIntervalSeconds: Math.round(Math.max(...paces.map((pace) => pace.intervalMs)) / 1000),
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

function svidOf(id: string, now: number, life: number): X509Svid {
  return {
    spiffeId: SpiffeId.parse(`spiffe://example.org/${id}`),
    chain: [],
    privateKey: new Secret(new Uint8Array()),
    serial: createHash('sha256').update(`${id}${now}`).digest('hex').slice(0, 8),
    notBefore: now,
    notAfter: now + life,
    authority: 'ca',
  }
}

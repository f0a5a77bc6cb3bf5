import { type WorkloadName, workloadCommonName } from '../../agent/icp/common-name.js'
import type { ControlPlane } from '../../agent/icp/control-plane.js'
import { FakeClock } from '../fakes/clock.js'
import { FakeControlPlane, rateLimited, TENANT } from '../fakes/control-plane.js'
import { SyncWorld } from '../unit/svids/sync-world.js'
import { ServerLimits } from './server-limits.js'

/** Agents behind one address, each with entries of its own, some of a trust domain in which nothing is issued. */
export interface Scenario {
  readonly agents: number
  readonly fine: number
  readonly never: number
  readonly ttlSeconds: number
  readonly minutes: number
  /** How long after the one before each agent starts. */
  readonly apartSeconds: number
}

export interface Outcome {
  /** The seconds at which something was answered with 429. */
  readonly limited: readonly number[]
  readonly renewals: number
  /** Of the life of an SVID, the least that was left when the next one came. */
  readonly leastLeft: number
  /** Entries that could be issued and have no SVID at the end. */
  readonly without: readonly string[]
  readonly requests: number
  /** Of these, for SVIDs of entries that are never issued. */
  readonly inVain: number
}

const DOMAIN = 'acme.example'
const CALL_EVERY_SECONDS = 3

/** The server flow of each agent as it is, with its loop, against the server's limits, second by second. */
export async function simulate(scenario: Scenario): Promise<Outcome> {
  const address = new Address(scenario)
  await address.run()
  return address.outcome
}

class Address {
  readonly #clock = new FakeClock()
  readonly #limits = new ServerLimits()
  readonly #limited: number[] = []
  readonly #left: number[] = []
  readonly #agents: { readonly world: SyncWorld; readonly ids: readonly string[]; readonly loop: Promise<void> }[] = []
  #requests = 0
  #inVain = 0

  constructor(private readonly scenario: Scenario) {}

  async run(): Promise<void> {
    const { agents, apartSeconds, minutes } = this.scenario
    const server = await FakeControlPlane.create({ clock: this.#clock, workloadTrustDomain: DOMAIN })
    for (let second = 0; second < minutes * 60; second++) {
      const n = this.#agents.length
      if (n < agents && second >= n * apartSeconds) await this.#start(server, n)
      if (second % CALL_EVERY_SECONDS === 0) for (const agent of this.#agents) call(agent)
      await this.#second()
    }
    for (const { world, loop } of this.#agents) {
      world.stop.abort()
      await loop
    }
  }

  get outcome(): Outcome {
    const without = this.#agents.flatMap(({ world, ids }) =>
      ids.filter((id) => id.includes('fine') && world.state(id)?.kind !== 'issued'),
    )
    return {
      ...{ limited: this.#limited, renewals: this.#left.length, leastLeft: Math.min(...this.#left), without },
      ...{ requests: this.#requests, inVain: this.#inVain },
    }
  }

  async #start(server: FakeControlPlane, n: number): Promise<void> {
    const { fine, never, ttlSeconds } = this.scenario
    const ids = [
      ...Array.from({ length: never }, (_, i) => `never-${n}-${i}`),
      ...Array.from({ length: fine }, (_, i) => `fine-${n}-${i}`),
    ]
    for (const id of ids) {
      const trustDomain = id.startsWith('never') ? TENANT : DOMAIN
      server.addEntry({ id, path: `/${id}`, selectors: { 'unix:path': id }, ttlSeconds, trustDomain })
    }
    const name: WorkloadName = workloadCommonName({ mode: 'auto' }, { clock: this.#clock, own: () => 'svid@localhost' })
    const world = await SyncWorld.create({
      ...{ server, withCommonName: name.run, seed: n + 1 },
      between: (inner) => this.#limit(inner, ids),
    })
    this.#watch(world)
    this.#agents.push({ world, ids, loop: world.run() })
  }

  /** The server as this agent sees it: through the limits of the address, and with its own entries alone. */
  #limit(inner: ControlPlane, ids: readonly string[]): ControlPlane {
    const passes = (tier: 'standard' | 'service') => {
      this.#requests++
      const retryAfterMs = this.#limits.refuses(tier, this.#clock.monotonic())
      if (retryAfterMs === null) return
      this.#limited.push(this.#clock.monotonic() / 1000)
      throw rateLimited(retryAfterMs)
    }
    return {
      attestNode: (request, signal) => inner.attestNode(request, signal),
      renewAgent: (request, signal) => inner.renewAgent(request, signal),
      revokeWorkload: (serial, signal) => inner.revokeWorkload(serial, signal),
      issueJwt: (request, signal) => inner.issueJwt(request, signal),
      validateJwt: (request, signal) => inner.validateJwt(request, signal),
      jwtBundle: (signal) => inner.jwtBundle(signal),
      entries: async (agent, signal) => {
        passes('standard')
        const { entries, rejected } = await inner.entries(agent, signal)
        return { unchanged: false, entries: entries.filter(({ id }) => ids.includes(id)), rejected }
      },
      signWorkload: async (request, signal) => {
        if (request.selectors.get('unix:path')?.startsWith('never')) this.#inVain++
        passes('standard')
        return await inner.signWorkload(request, signal)
      },
      bundle: async (signal) => {
        passes('service')
        return await inner.bundle(signal)
      },
    }
  }

  #watch(world: SyncWorld): void {
    const served = new Map<string, { readonly notBefore: number; readonly notAfter: number }>()
    world.store.observe(() => {
      for (const [id, state] of world.store.current.states) {
        if (state.kind !== 'issued') continue
        const { svid } = state.held
        const before = served.get(id)
        served.set(id, svid)
        if (!before || before === svid) continue
        this.#left.push((before.notAfter - this.#clock.now()) / (before.notAfter - before.notBefore))
      }
    })
  }

  async #second(): Promise<void> {
    for (const { world } of this.#agents) await world.quiet()
    await this.#clock.advance('1s')
    for (const { world } of this.#agents) await world.quiet()
  }
}

/** Whoever has nothing, or has an SVID already, ends the call at once and comes back. */
function call({ world, ids }: { readonly world: SyncWorld; readonly ids: readonly string[] }): void {
  for (const [n, id] of ids.entries()) {
    const use = world.demand.use(1000 + n)
    use.entries([id])
    use[Symbol.dispose]()
  }
}

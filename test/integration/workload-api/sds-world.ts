import { AgentError } from '../../../agent/errors.js'
import { apiEvents } from '../../../agent/observability/api-events.js'
import { sdsEvents } from '../../../agent/observability/sds-events.js'
import type { RateLimits } from '../../../agent/workload-api/rates.js'
import type { Validation } from '../../../agent/workload-api/sds/secrets.js'
import { Secrets } from '../../../agent/workload-api/sds/secrets.js'
import { secretDiscovery } from '../../../agent/workload-api/sds/service.js'
import { authorityOf, DOMAIN, entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'
import { ApiWorld } from './api-world.js'

const MINE = { 'unix:uid': '1000' }
const HOUR = 3_600_000
const DAYS = 24 * HOUR * 365

/** The Secret Discovery Service beside the Workload API, on a real socket, with identities that the test makes up. */
export class SdsWorld implements AsyncDisposable {
  private constructor(
    readonly api: ApiWorld,
    private readonly settings: { holdMs: number; allowUnauthenticatedVerifiers: boolean },
  ) {}

  static async listen(validation: Validation = 'spiffe', rates: Partial<RateLimits> = {}): Promise<SdsWorld> {
    const settings = { holdMs: 4_000, allowUnauthenticatedVerifiers: false }
    const api = await ApiWorld.listen(undefined, rates, (world) => [
      secretDiscovery({
        streams: world.streams,
        names: { svid: 'default', bundle: 'ROOTCA', allBundles: 'ALL' },
        secrets: new Secrets(),
        validation,
        settings,
        snapshot: () => world.store.current,
        events: sdsEvents(world.sinks, world.clock),
        apiEvents: apiEvents(world.sinks, world.clock),
        clock: world.clock,
        charge: ({ account }) => world.fairness.rates.call(account) !== null,
      }),
    ])
    return new SdsWorld(api, settings)
  }

  /** What the agent does when the configuration changed. */
  reload(settings: Partial<SdsWorld['settings']>): void {
    Object.assign(this.settings, settings)
    this.api.streams.reconsider()
  }

  get clock() {
    return this.api.clock
  }

  get sinks() {
    return this.api.sinks
  }

  get pid(): number {
    return this.api.workload.caller.pid
  }

  /** Entries of the workload, each with an SVID of that version; null: not issued. Bundles stay the same objects. */
  show(versions: Readonly<Record<string, string | null>>): void {
    const entries = Object.keys(versions).map((id, createdAt) => entryOf(id, { selectors: MINE, createdAt }))
    const states = Object.entries(versions).flatMap(([id, version]) => {
      if (version === null) return []
      const { held } = issuedOf(id, { notBefore: 0, notAfter: this.clock.now() + DAYS })
      const svid = { ...held.svid, chain: [Buffer.from(`certificate of ${id} ${version}`)] }
      return [[id, { kind: 'issued' as const, held: { ...held, svid } }] as const]
    })
    this.#publish(entries, Object.fromEntries(states))
  }

  showNothing(): void {
    this.#publish([], {})
  }

  /** From now on the process runs another program. */
  replaced(): void {
    this.api.workload.wrong = new AgentError('caller.executable_changed', 'another program')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.api[Symbol.asyncDispose]()
  }

  #publish(entries: Parameters<typeof snapshotOf>[0], states: NonNullable<Parameters<typeof snapshotOf>[1]>): void {
    const { store } = this.api
    const bundles = store.current.bundles.size > 0 ? store.current.bundles : BUNDLES
    store.publish(snapshotOf(entries, states, { bundles }), { entries: 'all', bundles: false })
  }
}

const BUNDLES = new Map(
  [DOMAIN, 'other.org'].map((trustDomain) => [trustDomain, { trustDomain, authorities: [authorityOf(trustDomain)] }]),
)

import { generateKeyPairSync } from 'node:crypto'
import { Secret } from '../../../../agent/crypto/secret.js'
import { parseAuthority } from '../../../../agent/identity/authority.js'
import type { Entry } from '../../../../agent/identity/entry.js'
import { SpiffeId } from '../../../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../../../agent/identity/verify-svid.js'
import { cacheEvents } from '../../../../agent/observability/cache-events.js'
import type { Files } from '../../../../agent/ports/files.js'
import { AuthorityHistory } from '../../../../agent/svids/authority-history.js'
import { Demand } from '../../../../agent/svids/demand.js'
import { EntryIndex } from '../../../../agent/svids/entry-index.js'
import type { EntryState, RenewableSvid } from '../../../../agent/svids/entry-state.js'
import type { CacheKeys } from '../../../../agent/svids/sealed-cache/cache-key.js'
import { SealedCache, type SealedCacheOptions } from '../../../../agent/svids/sealed-cache/sealed-cache.js'
import { SvidStore } from '../../../../agent/svids/store.js'
import { TestCa } from '../../../fakes/ca.js'
import { FakeClock } from '../../../fakes/clock.js'
import { MemoryFiles } from '../../../fakes/memory-files.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

export const ACCOUNT = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
export const PATH = '/data/cache/svid.cache'
const HOUR = 3_600_000
const key = generateKeyPairSync('ec', { namedCurve: 'P-256' })

export function secretKey(fill: number): Secret<Uint8Array> {
  return new Secret(new Uint8Array(32).fill(fill))
}

/** One life of an agent, as far as its cache sees it, on a disk and under a clock that outlive it. */
export class CacheLife {
  readonly store = new SvidStore()
  readonly demand: Demand
  readonly sinks = new RecordedSinks()
  readonly cache: SealedCache
  readonly events: ReturnType<typeof cacheEvents>
  clockAgrees = false

  constructor(
    readonly world: CacheWorld,
    change: Partial<SealedCacheOptions> = {},
  ) {
    const { clock, files, keys } = world
    this.demand = new Demand(clock)
    this.events = cacheEvents(this.sinks, clock)
    const { store, demand, events } = this
    this.cache = new SealedCache({
      ...{ files, clock, keys, store, demand, events },
      account: ACCOUNT,
      nodeId: 'node-1',
      path: PATH,
      history: () => world.history.state,
      clockAgrees: () => this.clockAgrees,
      commonName: () => world.commonName,
      ...change,
    })
  }

  /** Publishes entries with the SVIDs that they have now. */
  publish(states: Readonly<Record<string, EntryState>>): void {
    const entries = new Map(Object.keys(states).map((id) => [id, entryOf(id)]))
    const index = new EntryIndex(entries.values())
    this.store.publish(
      { synced: true, entries, index, states: new Map(Object.entries(states)) },
      { entries: 'all', bundles: false },
    )
  }

  /** Runs until `work` has come to its end, and a moment longer; what was published meanwhile is written then. */
  async whileRunning(work: () => void | Promise<void>): Promise<void> {
    const stop = new AbortController()
    const running = this.cache.run(stop.signal)
    await work()
    await this.world.clock.advance('2s')
    stop.abort(new Error('stop'))
    await running
  }
}

export class CacheWorld {
  history: AuthorityHistory
  commonName: string | null = null

  private constructor(
    readonly clock: FakeClock,
    readonly files: Files,
    readonly ca: TestCa,
    public keys: CacheKeys,
  ) {
    this.history = AuthorityHistory.empty(ACCOUNT).named([parseAuthority(ca.der)], clock.now())
  }

  static async create(files: Files = new MemoryFiles()): Promise<CacheWorld> {
    const clock = new FakeClock()
    const life = { notBefore: clock.now() - HOUR, notAfter: clock.now() + 1000 * HOUR }
    const keys = { current: secretKey(1), previous: null }
    return new CacheWorld(clock, files, await TestCa.create('CA', life), keys)
  }

  async held(id: string, lifeMs = HOUR, ca = this.ca): Promise<RenewableSvid> {
    const { uri } = entryOf(id).spiffeId
    const now = this.clock.now()
    const der = await ca.issue(key.publicKey, {
      names: [{ type: 'url', value: uri }],
      notBefore: now,
      notAfter: now + lifeMs,
    })
    const svid = verifyX509Svid({
      chain: [der],
      key: key.privateKey,
      expected: entryOf(id).spiffeId,
      named: uri,
      authorities: [parseAuthority(ca.der)],
      now,
    })
    this.history = this.history.named([parseAuthority(ca.der)], now).issued(svid, now)
    return { svid, renewAt: now + lifeMs / 2 }
  }

  async issued(id: string, lifeMs = HOUR): Promise<EntryState> {
    return { kind: 'issued', held: await this.held(id, lifeMs) }
  }

  /** A life that wrote these entries, and ended well. */
  async written(...ids: readonly string[]): Promise<CacheLife> {
    const life = new CacheLife(this)
    const states = await Promise.all(ids.map(async (id) => [id, await this.issued(id)] as const))
    await life.whileRunning(() => life.publish(Object.fromEntries(states)))
    return life
  }
}

export function entryOf(id: string): Entry {
  return {
    id,
    spiffeId: SpiffeId.parse(`spiffe://${ACCOUNT}/${id}`),
    assigned: true,
    selectors: new Map([['unix:uid', '1000']]),
    ttlSeconds: null,
    createdAt: 0,
  }
}

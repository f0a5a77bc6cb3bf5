import { byAge, type Entry } from '../../agent/identity/entry.js'
import { covers } from '../../agent/identity/selector.js'
import type { TrustBundle } from '../../agent/identity/trust-bundle.js'
import { apiEvents } from '../../agent/observability/api-events.js'
import { EntryIndex } from '../../agent/svids/entry-index.js'
import { SvidStore } from '../../agent/svids/store.js'
import { type View, Views } from '../../agent/svids/view.js'
import { decide } from '../../agent/workload-api/decision.js'
import { encodedOnce } from '../../agent/workload-api/dialects/encode.js'
import { ResponseStream } from '../../agent/workload-api/stream.js'
import { FakeCall } from '../fakes/call.js'
import { FakeClock } from '../fakes/clock.js'
import { authorityOf, DOMAIN, entryOf, issuedOf } from '../fakes/identities.js'
import { seededRandom } from '../fakes/random.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { FakeWorkload, workloadContext } from '../fakes/workload.js'

export interface CrowdSize {
  readonly entries: number
  readonly workloads: number
  /** Entries that workloads match; the others are for other nodes' workloads. */
  readonly matched: number
}

const DIALECTS = ['spiffe', 'authsec'] as const
const HOLD_MS = 4_000

/** One workload with a stream in each dialect. */
export interface Member {
  readonly workload: FakeWorkload
  readonly calls: readonly FakeCall[]
  selectors: Readonly<Record<string, string>>
}

/** Match, view and decision with everything around them but sockets: entries, workloads, streams in both dialects. */
export class Crowd {
  readonly clock = new FakeClock()
  readonly store = new SvidStore()
  readonly members: Member[] = []
  readonly entries: readonly Entry[]
  /** Encodings and the views that were encoded, by dialect. */
  readonly encoded = DIALECTS.map(() => ({ times: 0, views: new Set<View>() }))
  readonly #random = seededRandom(1)
  readonly #views = new Views()
  #serials = 0
  #authorities = [authorityOf('ca-1')]

  constructor(readonly size: CrowdSize) {
    this.entries = Array.from({ length: size.entries }, (_, n) => this.#entry(n))
    this.store.publish(
      {
        synced: true,
        entries: new Map(this.entries.map((entry) => [entry.id, entry])),
        index: new EntryIndex(this.entries),
        bundles: this.#bundles(),
      },
      { entries: 'all', bundles: true },
    )
  }

  /** Every workload opens a stream in each dialect. */
  open(): void {
    const events = apiEvents(new RecordedSinks(), this.clock)
    const context = workloadContext({ clock: this.clock, store: this.store, apiEvents: events })
    const encoders = this.encoded.map((count) =>
      encodedOnce((view: View) => {
        count.times++
        return Buffer.from(view.svids.map(({ entryId, svid }) => `${entryId}:${svid.serial}`).join())
      }),
    )
    for (let n = 0; n < this.size.workloads; n++) {
      const selectors = this.#selectors(n)
      const workload = FakeWorkload.attested(selectors, [], context)
      const calls = encoders.map((encode, dialect) => {
        const call = new FakeCall()
        const stream = new ResponseStream(call, {
          workload,
          kind: {
            method: 'FetchX509SVID',
            dialect: 'spiffe',
            decide,
            content: (snapshot, ids) => this.#views.of(snapshot, ids),
            encode: (content) => {
              this.encoded[dialect]?.views.add(content as View)
              return encode(content as View)
            },
          },
          snapshot: () => this.store.current,
          stopping: () => false,
          clock: this.clock,
          events,
          times: { holdMs: HOLD_MS, stalledMs: 30_000 },
          onStalled: () => undefined,
          onEnd: () => undefined,
        })
        stream.start()
        return call
      })
      this.members.push({ workload, calls, selectors })
    }
  }

  /** A new SVID for the n-th entry that workloads match. */
  issue(n: number): void {
    const { id } = this.#matchedEntry(n)
    const now = this.clock.now()
    const state = issuedOf(id, { serial: String(++this.#serials), notBefore: now, notAfter: now + 3_600_000 })
    this.store.publish(
      { states: new Map(this.store.current.states).set(id, state) },
      { entries: new Set([id]), bundles: false },
    )
  }

  /** The label of a workload changes: it belongs to another group from now on. */
  relabel(n: number, group: number): void {
    const member = this.members[n]
    if (!member) throw new TypeError(`there is no workload ${n}`)
    member.selectors = { ...member.selectors, 'docker:label:group': String(group) }
    member.workload.attest(member.selectors)
  }

  /** A new authority appears in all bundles. */
  rotate(): void {
    this.#authorities = [...this.#authorities, authorityOf(`ca-${this.#authorities.length + 1}`)]
    this.store.publish({ bundles: this.#bundles() }, { entries: new Set(), bundles: true })
  }

  /** What a workload matches, by looking at every entry. */
  scan({ selectors }: Member): readonly string[] {
    const known = new Map(Object.entries(selectors))
    return this.entries
      .filter((entry) => covers(known, entry.selectors))
      .sort(byAge)
      .map(({ id }) => id)
  }

  #matchedEntry(n: number): Entry {
    const entry = this.entries[n * Math.floor(this.size.entries / this.size.matched)]
    if (!entry) throw new TypeError(`there is no entry ${n}`)
    return entry
  }

  /** Every so many entries one is for a group of this node's workloads; the rest have one pair too many. */
  #entry(n: number): Entry {
    const every = Math.floor(this.size.entries / this.size.matched)
    const group = Math.floor(n / every) % (this.size.matched / 2)
    const mine = n % every === 0 && n / every < this.size.matched
    const selectors = {
      'unix:uid': '1000',
      'docker:label:group': String(group),
      ...(mine
        ? {}
        : { 'docker:label:app': `app-${n}`, 'docker:image-name': `image-${Math.floor(this.#random.fraction() * 50)}` }),
    }
    return entryOf(`e${n}`, { selectors, createdAt: n })
  }

  #selectors(n: number): Record<string, string> {
    return {
      'unix:uid': '1000',
      'unix:gid': '1000',
      'docker:label:group': String(n % (this.size.matched / 2)),
      'docker:image-name': `image-${n % 50}`,
      'docker:container-id': `container-${n}`,
    }
  }

  #bundles(): ReadonlyMap<string, TrustBundle> {
    return new Map([[DOMAIN, { trustDomain: DOMAIN, authorities: this.#authorities }]])
  }
}

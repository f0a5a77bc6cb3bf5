import type { Caller } from '../attestation/caller.js'
import type { Entry } from '../identity/entry.js'
import { Signal } from '../lib/signal.js'
import type { ApiEvents, Denial } from '../observability/api-events.js'
import type { Demand, Use } from '../svids/demand.js'
import { type Match, NO_MATCH } from '../svids/entry-index.js'
import type { StoreWatch, SvidStore } from '../svids/store.js'
import { AttestedProcess, type AttestedProcessContext, type WorkloadState } from './attested-process.js'
import type { DecisionInput, Refusal } from './decision.js'
import { decisionInputOf, matchOf } from './decision-input.js'
import { denialOf, type KnownDenial } from './denial.js'
import { lostMatches } from './inherited-labels.js'
import { OneLook } from './one-look.js'

/** What every workload works with. */
export interface WorkloadContext extends AttestedProcessContext {
  readonly store: SvidStore
  readonly demand: Demand
  /** At most so many identities a workload. */
  readonly maxIdentities: number
  /** Why nothing new may be granted now, to anybody; null or absent: it may. */
  readonly heldGrants?: () => Refusal | null
  readonly apiEvents: Pick<ApiEvents, 'truncated' | 'labelOfImage' | 'workloadEnded'>
  /** The caller is told that it matches no entry. */
  readonly unmatched: (caller: Caller) => void
}

/** What is known of a workload, as plain values. */
export interface WorkloadDescription {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** The path of its executable; null where no attestor has said it. */
  readonly program: string | null
  readonly state: WorkloadState
  /** Those that it matches, in the order of its identities. */
  readonly entries: readonly Entry[]
  /** The last one that its caller was told of; `since`: when that was for the first time, wall-clock milliseconds. */
  readonly denial: Pick<KnownDenial, 'id' | 'code' | 'since'> | null
}

/** Who keeps the workload. */
export interface WorkloadOwner {
  /** The last holder let go. */
  idle(workload: Workload): void
  /** The process ended: the workload is of no more use to anybody new. */
  over(workload: Workload): void
}

/**
 * One process with one executable and one set of credentials, shared by all of its connections: its attestation, kept
 * up to date while a connection holds it; while anything subscribes, its match against the entries and its demand.
 */
export class Workload extends AttestedProcess {
  #holders = 0
  #notifying = false
  readonly #changes = new Signal()
  #match: Match = NO_MATCH
  /** The match may differ by now. */
  #stale = true
  #entries: StoreWatch | null = null
  /** Subscribers that want X.509-SVIDs. */
  #demanding = 0
  #use: Use | null = null
  #denial: KnownDenial | null = null
  readonly #look: OneLook
  /** The attestation with which lost matches were looked for last. */
  #lookedForLost: WorkloadState | null = null

  constructor(
    caller: Caller,
    readonly key: string,
    protected override readonly context: WorkloadContext,
    private readonly owner: WorkloadOwner,
  ) {
    super(caller, context)
    this.#look = new OneLook(context.clock, () => this.check())
  }

  hold(): void {
    this.#holders++
    this.reattestIfFailed()
  }

  /** Gives back one `hold`. One release too many is a TypeError. */
  release(): void {
    if (this.#holders === 0) throw new TypeError('a workload was released more often than acquired')
    if (--this.#holders === 0) this.owner.idle(this)
  }

  /**
   * Calls back when something changed that a decision may depend on: soon, and never inside the call that caused it,
   * where it is the workload; at once where it is the entries. `demand`: meanwhile X.509-SVIDs of the matched entries
   * are wanted.
   */
  subscribe(changed: () => void, { demand }: { readonly demand: boolean } = { demand: true }): Disposable {
    const subscription = this.#changes.subscribe(changed)
    if (this.#changes.subscribers === 1) this.#follow()
    if (demand) this.#want(1)
    let over = false
    return {
      [Symbol.dispose]: () => {
        if (over) return
        over = true
        subscription[Symbol.dispose]()
        if (demand) this.#want(-1)
        if (this.#changes.subscribers === 0) this.#unfollow()
      },
    }
  }

  /**
   * The decision's input as of now: checks the process in this turn, and matches again when the match may differ (each
   * time while there are no subscribers).
   */
  decisionInput(): Pick<DecisionInput, 'refusal' | 'attesting' | 'waitMs' | 'match' | 'snapshot' | 'heldGrants'> {
    if (this.#stale) this.#rematch()
    const { store, heldGrants } = this.context
    return decisionInputOf(this.state, () => this.#look.check(), this.#match, store.current, heldGrants?.() ?? null)
  }

  /** For a listing. It has no effect: no demand, no event. */
  describe(): WorkloadDescription {
    const { ids } = this.#matchNow()
    const { entries } = this.context.store.current
    const denial = this.#denial
    const state = this.state
    const { pid, uid, gid } = this.caller
    return {
      pid,
      uid,
      gid,
      program: state.kind === 'attested' ? (state.selectors.get('unix:path') ?? null) : null,
      state,
      entries: ids.flatMap((id) => entries.get(id) ?? []),
      denial: denial && { id: denial.id, code: denial.code, since: denial.since },
    }
  }

  /** What there is to say of a denial. One and the same denial has one id, however often a client asks again. */
  denial(refusal: Refusal): Denial {
    const { store, clock, unmatched } = this.context
    if (refusal.code === 'entry.none') unmatched(this.caller)
    const { denial, known } = denialOf(refusal, this, store.current.entries, this.#denial, clock.now())
    this.#denial = known
    return denial
  }

  /** Subscribers decide again: something changed that concerns every workload. */
  decideAgain(): void {
    this.changed()
  }

  #follow(): void {
    this.#entries = this.context.store.watch(({ entries }) => {
      if (entries === 'all') this.#stale = true
      this.#changes.emit()
    })
    this.#rematch()
  }

  #unfollow(): void {
    this.#entries?.[Symbol.dispose]()
    this.#entries = null
    this.#stale = true
  }

  #want(by: 1 | -1): void {
    this.#demanding += by
    if (this.#demanding === 0) {
      this.#use?.[Symbol.dispose]()
      this.#use = null
    } else if (!this.#use) {
      this.#use = this.context.demand.use(this.caller.uid)
      this.#use.entries(this.#match.ids)
    }
  }

  #matchNow(): Match {
    const { store, maxIdentities } = this.context
    return matchOf(this.state, store.current, maxIdentities)
  }

  #rematch(): void {
    const { maxIdentities, apiEvents } = this.context
    const before = this.#match
    this.#match = this.#matchNow()
    // Without subscribers no notice says when it is out of date.
    this.#stale = this.#entries === null
    this.#use?.entries(this.#match.ids)
    this.#entries?.entries(this.#match.ids)
    this.#sayLost()
    if (this.#match.truncated && !before.truncated) apiEvents.truncated(this.caller, maxIdentities)
  }

  /** Entries that matched while labels of images counted as given to the container: looked for once an attestation. */
  #sayLost(): void {
    const { store, maxIdentities, apiEvents } = this.context
    const { index, entries } = store.current
    const state = this.state
    if (state.kind !== 'attested' || state === this.#lookedForLost || entries.size === 0) return
    this.#lookedForLost = state
    const { selectors } = state
    for (const id of lostMatches(index, selectors, this.#match.ids, 2 * maxIdentities)) {
      const entry = entries.get(id)
      if (entry) apiEvents.labelOfImage({ id, spiffeId: entry.spiffeId.uri })
    }
  }

  protected override exited(): void {
    this.context.apiEvents.workloadEnded(this.key)
    this.owner.over(this)
  }

  /** Tells subscribers soon, once for all that changed meanwhile, and never inside the call that caused it. */
  protected override changed(): void {
    this.#stale = true
    if (this.#notifying) return
    this.#notifying = true
    queueMicrotask(() => {
      this.#notifying = false
      this.#changes.emit()
    })
  }
}

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

/** The dependencies of every workload. */
export interface WorkloadContext extends AttestedProcessContext {
  readonly store: SvidStore
  readonly demand: Demand
  /** Limit of identities of a workload. */
  readonly maxIdentities: number
  /** Why no caller is granted anything new now; null or absent: new grants are made. */
  readonly heldGrants?: () => Refusal | null
  readonly apiEvents: Pick<ApiEvents, 'truncated' | 'labelOfImage' | 'workloadEnded'>
  /** Called when a caller is refused because it matches no entry. */
  readonly unmatched: (caller: Caller) => void
}

/** A workload as plain values. */
export interface WorkloadDescription {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  /** The path of its executable; null if no attestor has found it. */
  readonly program: string | null
  readonly state: WorkloadState
  /** The entries that it matches, in the order of its identities. */
  readonly entries: readonly Entry[]
  /** The last denial that its caller got; `since`: when it first got it, wall-clock milliseconds. */
  readonly denial: Pick<KnownDenial, 'id' | 'code' | 'since'> | null
}

/** The keeper of the workload. */
export interface WorkloadOwner {
  /** The last holder has released it. */
  idle(workload: Workload): void
  /** The process has exited, so no new connection can use the workload. */
  over(workload: Workload): void
}

/**
 * One process with one executable and one set of credentials, shared by all of its connections. Keeps its attestation up
 * to date while a connection holds it, and its match and demand while there are subscribers.
 */
export class Workload extends AttestedProcess {
  #holders = 0
  #notifying = false
  readonly #changes = new Signal()
  #match: Match = NO_MATCH
  /** The match may be out of date. */
  #stale = true
  #entries: StoreWatch | null = null
  /** Number of subscribers that want X.509-SVIDs. */
  #demanding = 0
  #use: Use | null = null
  #denial: KnownDenial | null = null
  readonly #look: OneLook
  /** The attestation for which lost matches were last searched. */
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

  /** Releases one `hold`. A release too many is a TypeError. */
  release(): void {
    if (this.#holders === 0) throw new TypeError('a workload was released more often than acquired')
    if (--this.#holders === 0) this.owner.idle(this)
  }

  /**
   * Calls back when the input of a decision may have changed: for a change of the workload soon after it, never within the
   * call that caused it; for a change of entries at once. `demand`: makes demand for the matched entries until disposal.
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
   * The present input of a decision: checks the process, and matches again if the match may be out of date (always while
   * there are no subscribers).
   */
  decisionInput(): Pick<DecisionInput, 'refusal' | 'attesting' | 'waitMs' | 'match' | 'snapshot' | 'heldGrants'> {
    if (this.#stale) this.#rematch()
    const { store, heldGrants } = this.context
    return decisionInputOf(this.state, () => this.#look.check(), this.#match, store.current, heldGrants?.() ?? null)
  }

  /** For listings. Changes nothing: no demand, no event. */
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

  /** The denial for a refusal. An equal denial keeps its id, however often a client asks again. */
  denial(refusal: Refusal): Denial {
    const { store, clock, unmatched } = this.context
    if (refusal.code === 'entry.none') unmatched(this.caller)
    const { denial, known } = denialOf(refusal, this, store.current.entries, this.#denial, clock.now())
    this.#denial = known
    return denial
  }

  /** Makes subscribers decide again after a change that concerns every workload. */
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
    // Without subscribers there is no notification when it is out of date.
    this.#stale = this.#entries === null
    this.#use?.entries(this.#match.ids)
    this.#entries?.entries(this.#match.ids)
    this.#sayLost()
    if (this.#match.truncated && !before.truncated) apiEvents.truncated(this.caller, maxIdentities)
  }

  /** Warns of entries that no longer match because labels of images do not count; searched once per attestation. */
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

  /** Notifies subscribers soon, once for several changes, and never within the call that caused one. */
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

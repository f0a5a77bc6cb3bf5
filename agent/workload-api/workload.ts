import type { Attestation, AttestContext, Known } from '../attestation/attest.js'
import type { Note, WithdrawnSelectors } from '../attestation/attestor.js'
import type { Caller } from '../attestation/caller.js'
import { filterKnown, isKnown } from '../attestation/known.js'
import { AgentError, messageOf } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import { delay } from '../lib/backoff.js'
import { Signal } from '../lib/signal.js'
import type { ApiEvents, Denial } from '../observability/api-events.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Kernel } from '../ports/kernel.js'
import type { Random } from '../ports/random.js'
import type { Demand, Use } from '../svids/demand.js'
import { type Match, NO_MATCH } from '../svids/entry-index.js'
import type { StoreWatch, SvidStore } from '../svids/store.js'
import { attestAsItself } from './attest-as-itself.js'
import type { DecisionInput, Refusal } from './decision.js'
import { decisionInputOf, matchOf } from './decision-input.js'
import { denialOf, type KnownDenial } from './denial.js'
import { lostMatches } from './inherited-labels.js'
import { OneLook } from './one-look.js'
import { stillItself } from './still-itself.js'

const RETRY = { baseMs: 1_000, capMs: 30_000 }
const NOTHING: Known = new Map()
const NO_SELECTORS: Selectors = new Map()

/** What is known of a workload now. A `failed` one is tried again on a schedule; nothing is granted on it meanwhile. */
export type WorkloadState =
  | { readonly kind: 'pending'; readonly since: number }
  | {
      readonly kind: 'attested'
      /** The same object for as long as the selectors stay the same. */
      readonly selectors: Selectors
      /** Platforms whose selectors are unknown now; those that were known before for this process are kept. */
      readonly unavailable: readonly string[]
      readonly notes: readonly Note[]
      /** How long it is worth waiting for what is unavailable, in milliseconds; 0: no longer than for anything else. */
      readonly waitMs: number
      /** Monotonic milliseconds. */
      readonly at: number
    }
  | { readonly kind: 'failed'; readonly error: AgentError; readonly at: number }

/** What every workload works with. */
export interface WorkloadContext extends AttestContext {
  readonly events: CallerEvents
  readonly kernel: Kernel
  readonly random: Random
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
export class Workload implements Disposable {
  #state: WorkloadState
  #ended = false
  #disposed = false
  #holders = 0
  #known = NOTHING
  #attempts = 0
  #again = false
  /** The attestation under way asks attestors that are no longer in force. */
  #outdated = false
  #running: AbortController | null = null
  #retry: Disposable | undefined
  #telling = false
  /** Platforms whose selectors became wanted since the last attestation. */
  readonly #unlooked = new Set<string>()
  readonly #watches: Disposable[] = []
  readonly #ofAttestors: Disposable[] = []
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
    readonly caller: Caller,
    readonly key: string,
    private readonly context: WorkloadContext,
    private readonly owner: WorkloadOwner,
  ) {
    this.#state = { kind: 'pending', since: context.clock.monotonic() }
    this.#look = new OneLook(context.clock, () => this.check())
  }

  /** Those of the last attestation; empty until it has succeeded. */
  get selectors(): Selectors {
    return this.#state.kind === 'attested' ? this.#state.selectors : NO_SELECTORS
  }

  get state(): WorkloadState {
    return this.#state
  }

  /** True once the process has ended; the state is then `failed` with `caller.exited`. */
  get ended(): boolean {
    return this.#ended
  }

  /** Watches the process and what the attestors know of it, and attests for the first time. */
  start(): void {
    this.#watches.push(this.context.kernel.onExit(this.caller.process, () => this.#end()))
    this.#watchAttestors()
    this.reattest()
  }

  /**
   * Other attestors are in force: this one is attested again by them. Until then its selectors count, but those that
   * are withdrawn at once; an attestation under way counts no more.
   */
  attestorsChanged(withdrawn: WithdrawnSelectors): void {
    if (this.#ended || this.#disposed) return
    this.#watchAttestors()
    const counts = filterKnown(this.#known, (attestor, key) => !withdrawn.now(attestor, key))
    this.#known = filterKnown(counts, (attestor, key) => !withdrawn.next(attestor, key))
    const state = this.#state
    if (state.kind === 'attested') {
      const selectors = new Map([...state.selectors].filter(([key, value]) => isKnown(counts, key, value)))
      if (selectors.size < state.selectors.size) this.become({ ...state, selectors }, true)
    }
    this.#outdated = this.#running !== null
    this.reattest()
  }

  #watchAttestors(): void {
    for (const watch of this.#ofAttestors.splice(0)) watch[Symbol.dispose]()
    for (const attestor of this.context.attestors) {
      try {
        const watch = attestor.onChange?.(this.caller, () => this.reattest())
        if (watch) this.#ofAttestors.push(watch)
      } catch (error) {
        this.context.events.attestorFailed(attestor.name, error)
      }
    }
  }

  hold(): void {
    this.#holders++
    // A process that changed and changed back (exec) is attested again; failed attestors have their schedule.
    if (this.#state.kind === 'failed' && !this.#retry && !this.#running) this.reattest()
  }

  /** Gives back one `hold`. One release too many is a TypeError. */
  release(): void {
    if (this.#holders === 0) throw new TypeError('a workload was released more often than acquired')
    if (--this.#holders === 0) this.owner.idle(this)
  }

  /**
   * Whether this is still the caller of the accept: `caller.exited`, `caller.executable_changed`, `caller.ids_changed`
   * or null. Some 20 µs; decisions share one in a turn.
   */
  check(): AgentError | null {
    if (this.#state.kind === 'failed' && (this.#ended || this.#disposed)) return this.#state.error
    const error = stillItself(this.caller)
    // The notice of the exit comes a moment later.
    if (error?.code === 'caller.exited') this.#end()
    return error
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
    return decisionInputOf(this.#state, () => this.#look.check(), this.#match, store.current, heldGrants?.() ?? null)
  }

  /** What the last attestation found, by attestor: the next one starts from it. */
  get known(): Known {
    return this.#known
  }

  /** For a listing. It has no effect: no demand, no event. */
  describe(): WorkloadDescription {
    const { ids } = this.#matchNow()
    const { entries } = this.context.store.current
    const denial = this.#denial
    const state = this.#state
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
    this.#tell()
  }

  /** Attests again now, besides the schedule. The state stays what it is until that is done. */
  reattest(): void {
    if (this.#ended || this.#disposed) return
    if (this.#running) {
      this.#again = true
      return
    }
    this.#cancelRetry()
    void this.#attest()
  }

  /**
   * Attests again, because selectors of the platform are wanted that were not looked for. At once, and until then, the
   * platform is unavailable: an entry that asks for them now must not be taken for one that does not match.
   */
  lookAgain(platform: string): void {
    if (this.#ended || this.#disposed) return
    this.#unlooked.add(platform)
    if (this.#state.kind === 'attested') {
      this.become({ ...this.#state, unavailable: withAll(this.#state.unavailable, this.#unlooked) }, true)
    }
    this.reattest()
  }

  /** Lets go of the process. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cancelRetry()
    for (const watch of [...this.#watches.splice(0), ...this.#ofAttestors.splice(0)]) watch[Symbol.dispose]()
    this.#running?.abort(new AgentError('caller.exited', 'nobody asks for this process any more'))
    this.caller.process[Symbol.dispose]()
  }

  /** `news`: subscribers have to know. */
  protected become(state: WorkloadState, news: boolean): void {
    this.#state = state
    if (news) this.#tell()
  }

  /** Never rejects: whatever happens becomes the state. */
  async #attest(): Promise<void> {
    const { clock } = this.context
    const controller = new AbortController()
    const began = clock.monotonic()
    this.#running = controller
    const lookedFor = [...this.#unlooked]
    try {
      const result = await attestAsItself(this.context, this.caller, this.#known, controller, () => this.check())
      if (this.#ended || this.#disposed || this.#outdated) return
      if (result instanceof AgentError) this.#refuse(result, clock.monotonic() - began)
      else {
        for (const platform of lookedFor) this.#unlooked.delete(platform)
        this.#accept(result, clock.monotonic() - began)
      }
    } catch (cause) {
      if (this.#ended || this.#disposed || this.#outdated) return
      // Attestors throw AgentErrors for what a process, an engine or the kernel does; anything else is ours.
      const error = cause instanceof AgentError ? cause : new AgentError('internal', messageOf(cause), { cause })
      this.#fail(error, clock.monotonic() - began)
      this.#retryLater()
    } finally {
      this.#running = null
      this.#outdated = false
      if (this.#again) {
        this.#again = false
        this.reattest()
      }
    }
  }

  #accept({ selectors, notes, known, waitMs, ...found }: Attestation, ms: number): void {
    const unavailable = withAll(found.unavailable, this.#unlooked)
    this.context.events.attested(this.caller, { selectors, unavailable, ms })
    this.#known = known
    const before = this.#state
    const unchanged = before.kind === 'attested' && sameSelectors(before.selectors, selectors)
    const kept = unchanged ? before.selectors : selectors
    const quiet = unchanged && before.unavailable.join() === unavailable.join() && before.waitMs === waitMs
    this.become(
      { kind: 'attested', selectors: kept, unavailable, notes, waitMs, at: this.context.clock.monotonic() },
      !quiet,
    )
    if (unavailable.length > 0) this.#retryLater()
    else this.#attempts = 0
  }

  #refuse(error: AgentError, ms: number): void {
    this.#fail(error, ms)
    // What the process did stands until it connects again; that the kernel could not be asked passes (no descriptors).
    if (error.code === 'caller.unidentified') this.#retryLater()
  }

  #fail(error: AgentError, ms: number): void {
    this.context.events.attestationFailed(this.caller, error, ms)
    const before = this.#state
    const news = before.kind !== 'failed' || before.error.code !== error.code
    this.become({ kind: 'failed', error, at: this.context.clock.monotonic() }, news)
  }

  #end(): void {
    if (this.#ended || this.#disposed) return
    this.#ended = true
    this.context.apiEvents.workloadEnded(this.key)
    const error = new AgentError('caller.exited', `process ${this.caller.pid} has ended`)
    this[Symbol.dispose]()
    this.become({ kind: 'failed', error, at: this.context.clock.monotonic() }, true)
    this.owner.over(this)
  }

  #retryLater(): void {
    const ms = delay(++this.#attempts, RETRY, this.context.random.fraction())
    this.#cancelRetry()
    this.#retry = this.context.clock.after(ms, () => {
      this.#retry = undefined
      this.reattest()
    })
  }

  #cancelRetry(): void {
    this.#retry?.[Symbol.dispose]()
    this.#retry = undefined
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
    return matchOf(this.#state, store.current, maxIdentities)
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
    const state = this.#state
    if (state.kind !== 'attested' || state === this.#lookedForLost || entries.size === 0) return
    this.#lookedForLost = state
    const { selectors } = state
    for (const id of lostMatches(index, selectors, this.#match.ids, 2 * maxIdentities)) {
      const entry = entries.get(id)
      if (entry) apiEvents.labelOfImage({ id, spiffeId: entry.spiffeId.uri })
    }
  }

  /** Soon, once for all that changed meanwhile, and never inside the call that caused it. */
  #tell(): void {
    this.#stale = true
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(() => {
      this.#telling = false
      this.#changes.emit()
    })
  }
}

function withAll(unavailable: readonly string[], more: ReadonlySet<string>): readonly string[] {
  return more.size === 0 ? unavailable : [...new Set([...unavailable, ...more])].sort()
}

function sameSelectors(a: Selectors, b: Selectors): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

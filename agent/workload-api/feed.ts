import { randomBytes } from 'node:crypto'
import type { Workload } from '../attestation/workload.js'
import type { Demand, Use } from '../store/demand.js'
import { type Match, NO_MATCH } from '../store/entry-index.js'
import type { IdentityStore, Watch } from '../store/identity-store.js'
import type { Change } from '../store/snapshot.js'
import type { Circumstances, Refusal } from './verdict.js'

export interface FeedOptions {
  readonly store: IdentityStore
  readonly demand: Demand
  /** At most so many identities a workload. */
  readonly maxIdentities: number
}

/**
 * What all open calls of one workload have in common: its match against the entries, kept up to date, and its demand.
 * It is alive as long as somebody listens.
 */
export class Feed {
  #match: Match = NO_MATCH
  #stale = true
  #use: Use | null = null
  #watch: Watch | null = null
  #state: Disposable | null = null
  readonly #listeners = new Set<() => void>()
  #demanding = 0
  #denial: { readonly code: string; readonly id: string } | null = null

  constructor(
    readonly workload: Workload,
    private readonly options: FeedOptions,
  ) {}

  /**
   * Calls back when something changed that a verdict may depend on. `demand`: while it listens, X.509-SVIDs of the
   * matched entries are wanted.
   */
  listen(changed: () => void, { demand }: { readonly demand: boolean } = { demand: true }): Disposable {
    this.#listeners.add(changed)
    if (this.#listeners.size === 1) this.#begin()
    if (demand) this.#demand(1)
    return {
      [Symbol.dispose]: () => {
        if (!this.#listeners.delete(changed)) return
        if (demand) this.#demand(-1)
        if (this.#listeners.size === 0) this.#end()
      },
    }
  }

  /** The facts for a verdict, as of now: the process is looked at each time, the match is redone when it may differ. */
  circumstances(): Pick<Circumstances, 'refusal' | 'attesting' | 'match' | 'snapshot'> {
    if (this.#stale) this.#rematch()
    const { state } = this.workload
    return {
      refusal: this.#refusal(),
      attesting: state.kind === 'pending',
      match: this.#match,
      snapshot: this.options.store.current,
    }
  }

  /** One id for one and the same denial, however often a client asks again; `first` when it is new. */
  denial(code: string): { readonly id: string; readonly first: boolean } {
    if (this.#denial?.code === code) return { id: this.#denial.id, first: false }
    this.#denial = { code, id: randomBytes(6).toString('hex') }
    return { id: this.#denial.id, first: true }
  }

  #refusal(): Refusal | null {
    const { state } = this.workload
    if (state.kind === 'failed') return { code: state.error.code, message: state.error.message }
    const error = this.workload.check()
    return error ? { code: error.code, message: error.message } : null
  }

  #begin(): void {
    this.#watch = this.options.store.watch((change: Change) => {
      if (change.entries === 'all') this.#stale = true
      this.#changed()
    })
    this.#state = this.workload.subscribe(() => {
      this.#stale = true
      this.#changed()
    })
    this.#stale = true
    this.#rematch()
  }

  #demand(by: 1 | -1): void {
    this.#demanding += by
    if (this.#demanding === 0) {
      this.#use?.[Symbol.dispose]()
      this.#use = null
    } else if (!this.#use) {
      this.#use = this.options.demand.use(this.workload.caller.uid)
      this.#use.entries(this.#match.ids)
    }
  }

  #end(): void {
    this.#watch?.[Symbol.dispose]()
    this.#state?.[Symbol.dispose]()
    this.#watch = this.#state = null
    this.#stale = true
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #rematch(): void {
    const { state } = this.workload
    this.#stale = false
    this.#match =
      state.kind === 'attested'
        ? this.options.store.current.index.match(state.facts, state.missing, this.options.maxIdentities)
        : NO_MATCH
    this.#use?.entries(this.#match.ids)
    this.#watch?.entries(this.#match.ids)
  }
}

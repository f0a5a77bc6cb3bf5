import { Signal } from '../lib/signal.js'
import type { Clock } from '../ports/clock.js'

/** The demand for one entry. */
export interface Want {
  /** Open calls by uid of the caller. */
  readonly uids: ReadonlyMap<number, number>
  /** Wall-clock time of the last use; the present while the entry is in use. */
  readonly lastUsed: number
}

/** The use of entries by a workload, as long as its calls are open. */
export interface Use extends Disposable {
  /** Replaces the entries in use. */
  entries(ids: readonly string[]): void
}

interface MutableWant {
  readonly uids: Map<number, number>
  lastUsed: number
}

/**
 * Which entries are wanted, by whom, and when they were last used. The API writes it and sync reads it, so that no call of
 * the API waits for the server by itself.
 */
export class Demand {
  readonly #wants = new Map<string, MutableWant>()
  readonly #wanted = new Signal()
  /** By uid, when an issuance was last planned for it; the uid that has waited longest comes first. */
  readonly #turns = new Map<number, number>()
  #turn = 0

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  use(uid: number): Use {
    let current: readonly string[] = []
    let ended = false
    return {
      entries: (ids) => {
        if (ended) return
        for (const id of current) if (!ids.includes(id)) this.#release(id, uid)
        let unwanted = false
        for (const id of ids) {
          if (current.includes(id)) continue
          if (!this.#isUsed(id)) unwanted = true
          this.#acquire(id, uid)
        }
        current = ids
        if (unwanted) this.#wanted.emit()
      },
      [Symbol.dispose]: () => {
        for (const id of current) this.#release(id, uid)
        current = []
        ended = true
      },
    }
  }

  want(entryId: string): Want | undefined {
    const want = this.#wants.get(entryId)
    if (want && want.uids.size > 0) want.lastUsed = this.clock.now()
    return want
  }

  /** Number of workloads that use the entry now. */
  uses(entryId: string): number {
    let uses = 0
    for (const count of this.#wants.get(entryId)?.uids.values() ?? []) uses += count
    return uses
  }

  /** Entries that are or were in use, in the order of their first use. */
  ids(): Iterable<string> {
    return this.#wants.keys()
  }

  /** Milliseconds since the entry was last used; 0 while it is in use, infinite if it never was. */
  unusedFor(entryId: string, now: number): number {
    const want = this.#wants.get(entryId)
    if (!want) return Number.POSITIVE_INFINITY
    return want.uids.size > 0 ? 0 : Math.max(0, now - want.lastUsed)
  }

  /** Lower is served first (round-robin over uids). */
  turnOf(uid: number): number {
    return this.#turns.get(uid) ?? 0
  }

  tookTurn(uid: number): void {
    if (this.#turns.size > 10_000) this.#turns.clear()
    this.#turns.set(uid, ++this.#turn)
  }

  /** Calls back when an entry comes into demand, not for each further process that uses it. */
  onWanted(listener: () => void): Disposable {
    return this.#wanted.subscribe(listener)
  }

  /** Forgets entries for which `keep` is false. */
  prune(keep: (entryId: string, unusedFor: number) => boolean): void {
    const now = this.clock.now()
    for (const id of this.#wants.keys()) {
      const unused = this.unusedFor(id, now)
      if (unused > 0 && !keep(id, unused)) this.#wants.delete(id)
    }
  }

  /** Last uses, for the sealed cache: a client that polls every 30 minutes keeps its renewals across a restart. */
  lastUses(): ReadonlyMap<string, number> {
    const now = this.clock.now()
    return new Map([...this.#wants].map(([id, want]) => [id, want.uids.size > 0 ? now : want.lastUsed]))
  }

  restore(lastUses: ReadonlyMap<string, number>): void {
    const now = this.clock.now()
    for (const [id, lastUsed] of lastUses) {
      if (!this.#wants.has(id)) this.#wants.set(id, { uids: new Map(), lastUsed: Math.min(lastUsed, now) })
    }
  }

  #isUsed(id: string): boolean {
    return (this.#wants.get(id)?.uids.size ?? 0) > 0
  }

  #acquire(id: string, uid: number): void {
    const want = this.#wants.get(id) ?? { uids: new Map<number, number>(), lastUsed: 0 }
    want.uids.set(uid, (want.uids.get(uid) ?? 0) + 1)
    want.lastUsed = this.clock.now()
    this.#wants.set(id, want)
  }

  #release(id: string, uid: number): void {
    const want = this.#wants.get(id)
    if (!want) return
    const count = (want.uids.get(uid) ?? 1) - 1
    if (count > 0) want.uids.set(uid, count)
    else want.uids.delete(uid)
    want.lastUsed = this.clock.now()
  }
}

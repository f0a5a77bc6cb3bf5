import { Signal } from '../lib/signal.js'
import type { Clock } from '../ports/clock.js'

/** What is known of the demand for one entry. */
export interface Want {
  /** Open calls by uid of the caller. */
  readonly uids: ReadonlyMap<number, number>
  /** Wall-clock time of the last use that ended, or of now while one is open. */
  readonly lastUsed: number
}

/** A use of entries that lasts as long as a workload's calls are open. */
export interface Use extends Disposable {
  /** The entries in use from now on. */
  entries(ids: readonly string[]): void
}

interface MutableWant {
  readonly uids: Map<number, number>
  lastUsed: number
}

/**
 * Which entries are wanted, by whom, and when they were last used. The API says it, sync reads it: nothing of the API
 * waits on the server by itself.
 */
export class Demand {
  readonly #wants = new Map<string, MutableWant>()
  readonly #wanted = new Signal()
  /** When each uid was last given an issuance: whoever waited longest for a turn comes first. */
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

  /** How many workloads use the entry now. Changes nothing. */
  uses(entryId: string): number {
    let uses = 0
    for (const count of this.#wants.get(entryId)?.uids.values() ?? []) uses += count
    return uses
  }

  /** Entries that are in use or were, oldest first use first. */
  ids(): Iterable<string> {
    return this.#wants.keys()
  }

  /** Milliseconds since the entry was last used; 0 while it is, infinite when it never was. */
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

  /** Calls back when an entry is wanted that was not, not for each process that uses it. */
  onWanted(listener: () => void): Disposable {
    return this.#wanted.subscribe(listener)
  }

  /** Forgets entries that exist no longer or that nobody has used for so long. */
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

import type { Clock } from '../ports/clock.js'
import type { EntryState } from './entry-state.js'
import type { SnapshotChange } from './snapshot.js'
import type { SvidStore } from './store.js'

interface Seen {
  readonly state: EntryState | undefined
  readonly at: number
}

/** When each entry's state last changed, for lists of entries. A state restored from disk counts from the start. */
export class EntryChanges implements Disposable {
  readonly #seen = new Map<string, Seen>()
  readonly #observer: Disposable

  constructor(
    private readonly store: SvidStore,
    private readonly clock: Pick<Clock, 'now'>,
  ) {
    this.#observer = store.observe((change) => this.#note(change))
  }

  /** By the wall clock; null if the entry is unknown. A new entry counts from when it was first read. */
  changedAt(entryId: string): number | null {
    return this.#seen.get(entryId)?.at ?? null
  }

  [Symbol.dispose](): void {
    this.#observer[Symbol.dispose]()
  }

  #note({ entries: changed }: SnapshotChange): void {
    const { entries, states } = this.store.current
    const at = this.clock.now()
    for (const id of changed === 'all' ? entries.keys() : changed) {
      const state = states.get(id)
      const seen = this.#seen.get(id)
      if (entries.has(id) && (!seen || seen.state !== state)) this.#seen.set(id, { state, at })
    }
    if (changed !== 'all') return
    for (const id of this.#seen.keys()) if (!entries.has(id)) this.#seen.delete(id)
  }
}

import { EntryIndex } from './entry-index.js'
import type { Snapshot, SnapshotChange } from './snapshot.js'

const EMPTY: Snapshot = {
  synced: false,
  entries: new Map(),
  index: new EntryIndex([]),
  states: new Map(),
  bundles: new Map(),
  jwtKeys: [],
}

/** The registration of one watcher. */
export interface StoreWatch extends Disposable {
  /** Replaces the watched entries; bundles and the set of entries are always watched. */
  entries(ids: readonly string[]): void
}

/**
 * The only meeting point of the two flows: sync publishes snapshots; the Workload API reads the current one and watches
 * it. A publication names the entries that changed, and only their watchers wake.
 */
export class SvidStore {
  #current: Snapshot = EMPTY
  readonly #all = new Set<(change: SnapshotChange) => void>()
  readonly #observers = new Set<(change: SnapshotChange) => void>()
  readonly #byEntry = new Map<string, Set<(change: SnapshotChange) => void>>()

  get current(): Snapshot {
    return this.#current
  }

  /**
   * Replaces parts of the snapshot and notifies their watchers; an empty change notifies none. If a watcher throws, the
   * others are still notified, and the first error is thrown at the end.
   */
  publish(parts: Partial<Snapshot>, change: SnapshotChange): void {
    this.#current = { ...this.#current, ...parts }
    const failures: unknown[] = []
    const tell = (listener: (change: SnapshotChange) => void) => {
      try {
        listener(change)
      } catch (error) {
        failures.push(error)
      }
    }
    for (const observer of [...this.#observers]) tell(observer)
    // A watcher that was disposed by another watcher's reaction is not notified.
    for (const watcher of this.#watchersOf(change)) if (this.#all.has(watcher)) tell(watcher)
    if (failures.length > 0) throw failures[0]
  }

  /** Calls back at every publication. */
  observe(changed: (change: SnapshotChange) => void): Disposable {
    this.#observers.add(changed)
    return { [Symbol.dispose]: () => void this.#observers.delete(changed) }
  }

  watch(changed: (change: SnapshotChange) => void): StoreWatch {
    let current: readonly string[] = []
    // A function of its own for each call, in case two callers pass the same one.
    const watcher = (change: SnapshotChange) => changed(change)
    this.#all.add(watcher)
    const unregister = () => {
      for (const id of current) {
        const watchers = this.#byEntry.get(id)
        watchers?.delete(watcher)
        if (watchers?.size === 0) this.#byEntry.delete(id)
      }
    }
    return {
      entries: (ids) => {
        if (!this.#all.has(watcher)) return
        unregister()
        current = ids
        for (const id of ids) {
          const watchers = this.#byEntry.get(id)
          if (watchers) watchers.add(watcher)
          else this.#byEntry.set(id, new Set([watcher]))
        }
      },
      [Symbol.dispose]: () => {
        unregister()
        current = []
        this.#all.delete(watcher)
      },
    }
  }

  #watchersOf(change: SnapshotChange): readonly ((change: SnapshotChange) => void)[] {
    if (change.bundles || change.entries === 'all') return [...this.#all]
    const watchers = new Set<(change: SnapshotChange) => void>()
    for (const id of change.entries) for (const watcher of this.#byEntry.get(id) ?? []) watchers.add(watcher)
    return [...watchers]
  }
}

import { EntryIndex } from './entry-index.js'
import type { Change, Snapshot } from './snapshot.js'

const EMPTY: Snapshot = {
  synced: false,
  entries: new Map(),
  index: new EntryIndex([]),
  states: new Map(),
  bundles: new Map(),
  jwtKeys: [],
}

/** Wakes one watcher when something that it watches changed. */
export interface Watch extends Disposable {
  /** The entries to watch from now on; bundles and the set of entries are always watched. */
  entries(ids: readonly string[]): void
}

/**
 * The only meeting point of the two flows: sync publishes snapshots, the Workload API reads the current one and
 * watches. A publication names the entries that changed and only their watchers wake.
 */
export class IdentityStore {
  #current: Snapshot = EMPTY
  readonly #all = new Set<(change: Change) => void>()
  readonly #observers = new Set<(change: Change) => void>()
  readonly #byEntry = new Map<string, Set<(change: Change) => void>>()

  get current(): Snapshot {
    return this.#current
  }

  /** Replaces parts of the snapshot and tells who watches them. An empty change tells nobody. */
  publish(parts: Partial<Snapshot>, change: Change): void {
    this.#current = { ...this.#current, ...parts }
    for (const observer of [...this.#observers]) observer(change)
    for (const watcher of this.#watchersOf(change)) watcher(change)
  }

  /** Calls back at every publication, whatever it is about. */
  observe(changed: (change: Change) => void): Disposable {
    this.#observers.add(changed)
    return { [Symbol.dispose]: () => void this.#observers.delete(changed) }
  }

  watch(changed: (change: Change) => void): Watch {
    let current: readonly string[] = []
    this.#all.add(changed)
    const unregister = () => {
      for (const id of current) {
        const watchers = this.#byEntry.get(id)
        watchers?.delete(changed)
        if (watchers?.size === 0) this.#byEntry.delete(id)
      }
    }
    return {
      entries: (ids) => {
        unregister()
        current = ids
        for (const id of ids) {
          const watchers = this.#byEntry.get(id)
          if (watchers) watchers.add(changed)
          else this.#byEntry.set(id, new Set([changed]))
        }
      },
      [Symbol.dispose]: () => {
        unregister()
        this.#all.delete(changed)
      },
    }
  }

  #watchersOf(change: Change): readonly ((change: Change) => void)[] {
    if (change.bundles || change.entries === 'all') return [...this.#all]
    const watchers = new Set<(change: Change) => void>()
    for (const id of change.entries) for (const watcher of this.#byEntry.get(id) ?? []) watchers.add(watcher)
    return [...watchers]
  }
}

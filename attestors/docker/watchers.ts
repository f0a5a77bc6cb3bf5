/** A subscriber to changes of some containers. */
export interface Watcher extends Disposable {
  /** Its containers at the last attestation. */
  ids: readonly string[]
}

/** Subscribers to changes of containers. */
export class Watchers {
  readonly #all = new Set<{ ids: readonly string[]; readonly changed: () => void }>()

  get size(): number {
    return this.#all.size
  }

  add(changed: () => void): Watcher {
    const own = { ids: [] as readonly string[], changed }
    this.#all.add(own)
    return {
      get ids() {
        return own.ids
      },
      set ids(ids) {
        own.ids = ids
      },
      [Symbol.dispose]: () => void this.#all.delete(own),
    }
  }

  tell(id: string): void {
    for (const watcher of [...this.#all]) if (watcher.ids.includes(id)) watcher.changed()
  }

  /** Notifies all that have a container. */
  tellAll(): void {
    for (const watcher of [...this.#all]) if (watcher.ids.length > 0) watcher.changed()
  }
}

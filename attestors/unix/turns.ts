interface OfUser {
  readonly uid: number
}

/** What waits for a place, in turn by user: whoever asks a thousand times waits for himself. */
export class Turns<T extends OfUser> {
  /** Users in the order of their turns, each with what waits in the order it came. */
  readonly #users = new Map<number, Set<T>>()

  get users(): Iterable<number> {
    return this.#users.keys()
  }

  add(item: T): void {
    const items = this.#users.get(item.uid)
    if (items) items.add(item)
    else this.#users.set(item.uid, new Set([item]))
  }

  /** False when it does not wait. */
  delete(item: T): boolean {
    const items = this.#users.get(item.uid)
    if (!items?.delete(item)) return false
    if (items.size === 0) this.#users.delete(item.uid)
    return true
  }

  /** Takes the oldest of the user that has the fewest places, of several such of the one whose turn it is. */
  next(placesOf: (uid: number) => number): T | undefined {
    let chosen: Set<T> | undefined
    let fewest = Number.POSITIVE_INFINITY
    for (const [uid, items] of this.#users) {
      const places = placesOf(uid)
      if (places >= fewest) continue
      chosen = items
      fewest = places
    }
    const [item] = chosen ?? []
    if (!chosen || !item) return undefined
    this.#users.delete(item.uid)
    chosen.delete(item)
    if (chosen.size > 0) this.#users.set(item.uid, chosen)
    return item
  }

  /** Takes everything. */
  drain(): T[] {
    const all = [...this.#users.values()].flatMap((items) => [...items])
    this.#users.clear()
    return all
  }
}

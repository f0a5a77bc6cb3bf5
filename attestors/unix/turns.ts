interface OfSubject {
  /** `container:ID` or `uid:N`: whose turn it takes. */
  readonly subject: string
}

/** What waits for a place, in turn by subject: whoever asks a thousand times waits for himself. */
export class Turns<T extends OfSubject> {
  /** Subjects in the order of their turns, each with what waits in the order it came. */
  readonly #subjects = new Map<string, Set<T>>()

  get subjects(): Iterable<string> {
    return this.#subjects.keys()
  }

  /** How many wait. */
  get size(): number {
    let size = 0
    for (const items of this.#subjects.values()) size += items.size
    return size
  }

  add(item: T): void {
    const items = this.#subjects.get(item.subject)
    if (items) items.add(item)
    else this.#subjects.set(item.subject, new Set([item]))
  }

  /** False when it does not wait. */
  delete(item: T): boolean {
    const items = this.#subjects.get(item.subject)
    if (!items?.delete(item)) return false
    if (items.size === 0) this.#subjects.delete(item.subject)
    return true
  }

  /** Takes the oldest of the subject that has the fewest places, of several such of the one whose turn it is. */
  next(placesOf: (subject: string) => number): T | undefined {
    let chosen: Set<T> | undefined
    let fewest = Number.POSITIVE_INFINITY
    for (const [subject, items] of this.#subjects) {
      const places = placesOf(subject)
      if (places >= fewest) continue
      chosen = items
      fewest = places
    }
    const [item] = chosen ?? []
    if (!chosen || !item) return undefined
    this.#subjects.delete(item.subject)
    chosen.delete(item)
    if (chosen.size > 0) this.#subjects.set(item.subject, chosen)
    return item
  }

  /** Takes everything. */
  drain(): T[] {
    const all = [...this.#subjects.values()].flatMap((items) => [...items])
    this.#subjects.clear()
    return all
  }
}

export interface Event {
  readonly at: number
  readonly run: () => void
}

/** Events by time; those of one moment in the order in which they were planned (a binary heap). */
export class Agenda {
  readonly #heap: { readonly event: Event; readonly order: number }[] = []
  #order = 0

  push(at: number, run: () => void): void {
    const heap = this.#heap
    heap.push({ event: { at, run }, order: this.#order++ })
    let child = heap.length - 1
    while (child > 0) {
      const parent = (child - 1) >> 1
      if (!this.#before(child, parent)) break
      this.#swap(child, parent)
      child = parent
    }
  }

  pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (!first || !last || heap.length === 0) return first?.event
    heap[0] = last
    for (let parent = 0; ; ) {
      let least = parent
      for (const child of [2 * parent + 1, 2 * parent + 2]) {
        if (child < heap.length && this.#before(child, least)) least = child
      }
      if (least === parent) return first.event
      this.#swap(parent, least)
      parent = least
    }
  }

  #before(i: number, j: number): boolean {
    const [a, b] = [this.#heap[i], this.#heap[j]]
    if (!a || !b) return false
    return a.event.at < b.event.at || (a.event.at === b.event.at && a.order < b.order)
  }

  #swap(i: number, j: number): void {
    const [a, b] = [this.#heap[i], this.#heap[j]]
    if (!a || !b) return
    this.#heap[i] = b
    this.#heap[j] = a
  }
}

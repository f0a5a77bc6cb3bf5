/** Something that happens again and again, and those who want to hear of it. */
export class Signal<T = void> {
  readonly #subscribers = new Set<{ readonly listener: (value: T) => void }>()

  /** Calls back at each `emit`, until disposed. The same function may subscribe twice. */
  subscribe(listener: (value: T) => void): Disposable {
    const subscriber = { listener }
    this.#subscribers.add(subscriber)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) }
  }

  get subscribers(): number {
    return this.#subscribers.size
  }

  /**
   * Tells those who are subscribed now: who subscribes meanwhile is not told, nor who was disposed meanwhile. All are
   * told even where a listener throws; the first error is thrown after that.
   */
  emit(value: T): void {
    const failures: unknown[] = []
    for (const subscriber of [...this.#subscribers]) {
      if (!this.#subscribers.has(subscriber)) continue
      try {
        subscriber.listener(value)
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}

/** A recurring event and its subscribers. */
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
   * Notifies the present subscribers, but not those that subscribe or are disposed during the call. If a listener throws,
   * the others are still notified, and the first error is thrown at the end.
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

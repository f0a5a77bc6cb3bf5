/** Limit of records that are tracked for repetition; beyond it the oldest is closed early. */
const MAX_OPEN = 16_384

/** A record that may be repeated. */
export interface Repeated<T> {
  readonly record: T
  /** The present subject (a serial); another one replaces it. */
  readonly what: string
  /** Wall-clock milliseconds after which it is closed. */
  until: number
  times: number
  last: number
}

/**
 * Counts repetitions of records by holder (a process) and place (one entry's SVID of it). `close` is called for each one
 * that ends, repeated or not.
 */
export class Repeats<T> {
  readonly #holders = new Map<string, Map<string, Repeated<T>>>()
  #size = 0

  constructor(
    private readonly close: (one: Repeated<T>) => void,
    private readonly max = MAX_OPEN,
  ) {}

  get size(): number {
    return this.#size
  }

  /** Counts a repetition, or adds the result of `record` and closes the former one in this place. */
  add(
    { holder, place, what }: { readonly holder: string; readonly place: string; readonly what: string },
    { now, until }: { readonly now: number; readonly until: number },
    record: () => T,
  ): void {
    const places = this.#holders.get(holder) ?? new Map<string, Repeated<T>>()
    const known = places.get(place)
    if (known?.what === what && now < known.until) {
      known.times++
      known.last = now
      known.until = until
      return
    }
    if (known) this.#remove(holder, places, place, known)
    if (this.#size >= this.max) this.#closeOldest()
    const made = { record: record(), what, until, times: 0, last: now }
    places.set(place, made)
    this.#holders.set(holder, places)
    this.#size++
  }

  /** The holder is gone. */
  closeHolder(holder: string): void {
    const places = this.#holders.get(holder)
    for (const [place, one] of places ?? []) this.#remove(holder, places ?? new Map(), place, one)
  }

  /** Closes all that expire until `now`; infinity closes all. */
  closeUntil(now: number): void {
    for (const [holder, places] of this.#holders) {
      for (const [place, one] of places) if (one.until <= now) this.#remove(holder, places, place, one)
    }
  }

  #closeOldest(): void {
    const [oldest] = this.#holders.keys()
    if (oldest !== undefined) this.closeHolder(oldest)
  }

  #remove(holder: string, places: Map<string, Repeated<T>>, place: string, one: Repeated<T>): void {
    places.delete(place)
    this.#size--
    if (places.size === 0) this.#holders.delete(holder)
    this.close(one)
  }
}

/** A burst, and a steady rate. */
export interface Rate {
  readonly perSecond: number
  readonly burst: number
}

/** A token bucket, refilled at a steady rate. */
export class Bucket {
  #tokens: number
  #at: number

  constructor(
    private readonly rate: Rate,
    now: number,
  ) {
    this.#tokens = rate.burst
    this.#at = now
  }

  has(now: number): boolean {
    return this.#refilled(now) >= 1
  }

  /** Takes one token; if `binding`, the bucket may go below zero, and the rest is owed. */
  take(now: number, binding: boolean): void {
    const left = this.#refilled(now) - 1
    this.#tokens = binding ? left : Math.max(0, left)
  }

  /** Milliseconds until nothing is owed; 0: nothing is. */
  owedFor(now: number): number {
    return Math.max(0, (-this.#refilled(now) * 1000) / this.rate.perSecond)
  }

  #refilled(now: number): number {
    const { perSecond, burst } = this.rate
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1000)
    this.#at = now
    return this.#tokens
  }
}

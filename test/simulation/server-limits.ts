/** What the server allows one address: the token bucket of the standard tier, and the window around everything. */
export class ServerLimits {
  #tokens = 10
  #filledAt = 0
  #window: number[] = []
  #first = 0

  /** Null when the request passes, else the milliseconds of Retry-After. A refused request costs nothing. */
  refuses(tier: 'standard' | 'service', now: number): number | null {
    while ((this.#window[this.#first] ?? Number.POSITIVE_INFINITY) <= now - 60_000) this.#first++
    if (this.#first > 1000) {
      this.#window = this.#window.slice(this.#first)
      this.#first = 0
    }
    if (this.#window.length - this.#first >= 100) return 60_000
    if (tier === 'standard') {
      this.#tokens = Math.min(10, this.#tokens + (now - this.#filledAt) * (30 / 60_000))
      this.#filledAt = now
      if (this.#tokens < 1) return 60_000
      this.#tokens -= 1
    }
    this.#window.push(now)
    return null
  }
}

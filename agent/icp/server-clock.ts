import type { ServerEvents } from '../observability/server-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpResponse } from '../ports/http.js'

/** The server's clock by its Date headers, accurate to about a second and half a round trip. */
export class ServerClock {
  /** The server's time minus our monotonic clock, because our wall clock may be set between two answers. */
  #ahead: number | null = null

  constructor(
    private readonly clock: Clock,
    private readonly events: ServerEvents,
  ) {}

  /** Milliseconds that the server's clock is ahead of ours; null before the first answer with a date. */
  readonly skew = (): number | null =>
    this.#ahead === null ? null : this.#ahead + this.clock.monotonic() - this.clock.now()

  /** Reads an answer to a request that was sent at the given time of the monotonic clock. */
  read(response: HttpResponse, sentAt: number): void {
    const date = Date.parse(response.headers['date'] ?? '')
    if (Number.isNaN(date)) return
    // The header has whole seconds, so the middle of its second is the best estimate.
    this.#ahead = date + 500 - (sentAt + this.clock.monotonic()) / 2
    this.events.clockRead(this.skew() ?? 0)
  }
}

import type { ServerEvents } from '../observability/server-events.js'
import type { Clock } from '../ports/clock.js'
import type { HttpResponse } from '../ports/http.js'

/** The server's clock as its Date headers show it, to about a second and half a round trip. */
export class ServerClock {
  #skew: number | null = null

  constructor(
    private readonly clock: Clock,
    private readonly events: ServerEvents,
  ) {}

  /** Milliseconds that the server's clock is ahead of ours; null before the first answer with a date. */
  readonly skew = (): number | null => this.#skew

  /** Takes note of an answer to a request that was sent at the given wall-clock time. */
  read(response: HttpResponse, sentAt: number): void {
    const date = Date.parse(response.headers['date'] ?? '')
    if (Number.isNaN(date)) return
    // The header is cut to whole seconds, so that the middle of its second is the best guess.
    this.#skew = date + 500 - (sentAt + this.clock.now()) / 2
    this.events.clockRead(this.#skew)
  }
}

import type { Clock } from '../../agent/ports/clock.js'

/**
 * The default issuer, which the newer generation caches for a while. After a change of the CA it accepts only client
 * certificates of the old issuer until it looks it up again.
 */
export class KnownIssuer {
  #pem = ''
  #until = Number.NEGATIVE_INFINITY

  constructor(
    private readonly current: () => string,
    private readonly clock: Pick<Clock, 'monotonic'>,
    private readonly keptMs: number,
  ) {}

  get pem(): string {
    if (this.clock.monotonic() >= this.#until) this.lookUp()
    return this.#pem
  }

  /** Looks the issuer up now, as after the end of the cache time. */
  lookUp(): void {
    this.#pem = this.current()
    this.#until = this.clock.monotonic() + this.keptMs
  }
}

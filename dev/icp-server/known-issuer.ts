import type { Clock } from '../../agent/ports/clock.js'

/**
 * The default issuer as the newer generation knows it: looked up when first needed, then kept for a while. After a
 * change of the CA it goes on accepting client certificates of the old issuer, and no others, until it looks again.
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

  /** As whoever asked after the time was over would have made it do. */
  lookUp(): void {
    this.#pem = this.current()
    this.#until = this.clock.monotonic() + this.keptMs
  }
}

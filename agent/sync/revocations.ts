import { AgentError } from '../errors.js'
import type { ControlPlane } from '../icp/control-plane.js'
import type { SyncEvents } from '../observability/sync-events.js'

/** Serials of SVIDs whose entries were removed, revoked at the server when nothing else is worth a request. */
export class Revocations {
  readonly #serials: string[] = []

  constructor(
    private readonly options: {
      readonly controlPlane: Pick<ControlPlane, 'revokeWorkload'>
      readonly events: SyncEvents
    },
  ) {}

  /** Oldest first; lower-case hex pairs joined by colons. */
  get serials(): readonly string[] {
    return this.#serials
  }

  add(serials: readonly string[]): void {
    this.#serials.push(...serials)
  }

  /** One request; a refusal is said and not repeated, a 429 leaves the serial where it is. */
  async revoke(serial: string, signal: AbortSignal): Promise<void> {
    const { controlPlane, events } = this.options
    try {
      await controlPlane.revokeWorkload(serial, signal)
      events.revoked(serial)
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      if (error.code === 'icp.rate_limited') return
      events.revocationFailed(serial, error.code)
    }
    this.#serials.splice(this.#serials.indexOf(serial), 1)
  }
}

import type { AttestorResult, WorkloadAttestor } from '../agent/attestation/attestor.js'
import type { Caller } from '../agent/attestation/caller.js'
import { sleepUnlessAborted } from '../agent/lib/sleep.js'
import type { AttestorEvents } from '../agent/observability/attestor-events.js'
import type { Clock } from '../agent/ports/clock.js'

export interface WhenPresentOptions {
  readonly attestor: WorkloadAttestor
  /** Null if its platform exists, else why not. Never throws because of a platform. */
  readonly absence: () => Promise<string | null>
  /** The reason in its status while it is on. */
  readonly asks: string
  readonly clock: Clock
  readonly events: Pick<AttestorEvents, 'reportStatus'>
}

/** How often a missing platform is looked for. */
const LOOK_MS = 10_000

/**
 * An attestor that is asked only if its platform exists. A platform that appears later is found within ten seconds, and
 * subscribed workloads are attested again. Once it has existed, the attestor is always asked, and reports what is
 * unavailable.
 */
export class WhenPresent implements WorkloadAttestor {
  #absence: string | null = 'not checked yet'
  #first: Promise<void> | null = null
  readonly #waiting = new Set<() => void>()

  constructor(private readonly options: WhenPresentOptions) {}

  get name(): string {
    return this.options.attestor.name
  }

  get platforms(): readonly string[] {
    return this.options.attestor.platforms
  }

  async attest(caller: Caller, signal: AbortSignal): Promise<AttestorResult> {
    this.#first ??= this.#look()
    await this.#first
    if (this.#absence === null) return await this.options.attestor.attest(caller, signal)
    return { selectors: new Map(), unavailable: [], notes: [{ attestor: this.name, text: `off: ${this.#absence}` }] }
  }

  onChange(caller: Caller, changed: () => void): Disposable {
    let watch: Disposable | undefined
    const appeared = () => {
      watch = this.options.attestor.onChange?.(caller, changed)
    }
    const waiting = () => {
      appeared()
      changed()
    }
    if (this.#absence === null) appeared()
    else this.#waiting.add(waiting)
    return {
      [Symbol.dispose]: () => {
        this.#waiting.delete(waiting)
        watch?.[Symbol.dispose]()
      },
    }
  }

  /** Looks for the platform until it exists or the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      this.#first ??= this.#look()
      await this.#first
      if (this.#absence === null) return
      await sleepUnlessAborted(this.options.clock, LOOK_MS, signal)
      this.#first = null
    }
  }

  async #look(): Promise<void> {
    this.#absence = await this.options.absence()
    this.options.events.reportStatus(this.name, this.#absence === null, this.#absence ?? this.options.asks)
    if (this.#absence !== null) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const appeared of waiting) appeared()
  }
}

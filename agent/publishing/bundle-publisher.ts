import { AgentError } from '../errors.js'
import { Alarm } from '../lib/alarm.js'
import { delay } from '../lib/backoff.js'
import { endedByAbort, sleepUnlessAborted } from '../lib/sleep.js'
import type { Clock } from '../ports/clock.js'
import type { Random } from '../ports/random.js'
import type { Lease } from './lease.js'
import type { PublishTarget } from './targets.js'
import type { PublishedTexts } from './texts.js'

/** How often the lease is renewed or read. */
export const LEASE_TURN_MS = 5_000
/** How often the published objects are read again, to restore what others changed. */
export const LOOK_MS = 30_000
const BACKOFF = { baseMs: 2_000, capMs: 30_000 }
/** If the lease was not handled for this time, the program is stuck. */
const STUCK_MS = 120_000
/** Answers older than this are outdated. */
const FRESH_MS = 60_000

export interface BundlePublisherOptions {
  readonly lease: Pick<Lease, 'turn' | 'held' | 'holder' | 'whileHeld' | 'release'>
  readonly targets: readonly PublishTarget[]
  readonly clock: Clock
  readonly random: Random
  readonly said: {
    leading(): void
    following(holder: string): void
    written(what: string): void
    /** `what`: the operation that failed; it may fail repeatedly. */
    failed(what: string, error: AgentError): void
    succeeded(what: string): void
  }
}

/** Keeps the newest bundle in every target while this process holds the lease. It deletes nothing. */
export class BundlePublisher {
  readonly #alarm: Alarm
  readonly #troubles = new Map<string, string>()
  #texts: PublishedTexts | null = null
  #leading: boolean | null = null
  #turnedAt: number
  #leaseReadAt = Number.NEGATIVE_INFINITY
  #publishedAt = Number.NEGATIVE_INFINITY

  constructor(private readonly options: BundlePublisherOptions) {
    this.#alarm = new Alarm(options.clock)
    this.#turnedAt = options.clock.monotonic()
  }

  /** Sets what to publish from now on. */
  offer(texts: PublishedTexts): void {
    this.#texts = texts
    this.#alarm.ring()
  }

  /** Runs until the signal aborts; then releases the lease, unless `parting` aborts first. */
  async run(signal: AbortSignal, parting: AbortSignal): Promise<void> {
    await Promise.all([this.#keepLease(signal), this.#publish(signal)])
    if (this.options.lease.held) await this.#attempt('lease', () => this.options.lease.release(parting), parting)
  }

  /** Why a restart would help; null: it would not. */
  get stuck(): string | null {
    const idle = this.options.clock.monotonic() - this.#turnedAt
    return idle < STUCK_MS ? null : `nothing has happened for ${Math.round(idle / 1000)} s`
  }

  /** Problems of this replica; empty if it works, also while it waits for the lease. */
  get troubles(): readonly string[] {
    const now = this.options.clock.monotonic()
    const found = [...this.#troubles].map(([what, message]) => `${what}: ${message}`)
    if (this.#texts === null) found.push('the agent has given no bundle yet')
    if (now - this.#leaseReadAt > FRESH_MS) found.push('the lease has not been read')
    if (this.options.lease.held && this.#texts && now - this.#publishedAt > LOOK_MS + FRESH_MS) {
      found.push('the bundle has not been compared with what is published')
    }
    return found
  }

  async #keepLease(signal: AbortSignal): Promise<void> {
    const { lease, clock, said } = this.options
    while (!signal.aborted) {
      this.#turnedAt = clock.monotonic()
      if (await this.#attempt('lease', () => lease.turn(signal), signal)) this.#leaseReadAt = clock.monotonic()
      if (lease.held !== this.#leading && !signal.aborted) {
        this.#leading = lease.held
        if (this.#leading) said.leading()
        else said.following(lease.holder)
        if (this.#leading) this.#alarm.ring()
      }
      await sleepUnlessAborted(clock, LEASE_TURN_MS, signal)
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { clock, random } = this.options
    let failures = 0
    while (!signal.aborted) {
      let pauseMs = LOOK_MS
      if (this.#texts && this.options.lease.held) {
        failures = (await this.#putAll(this.#texts, signal)) ? 0 : failures + 1
        if (failures === 0) this.#publishedAt = clock.monotonic()
        else pauseMs = delay(failures, BACKOFF, random.fraction())
      }
      await endedByAbort(this.#alarm.sleep(pauseMs, signal), signal)
    }
  }

  /** True if every target holds the texts. */
  async #putAll(texts: PublishedTexts, signal: AbortSignal): Promise<boolean> {
    const { lease, targets, said } = this.options
    let all = true
    for (const target of targets) {
      const done = await this.#attempt(
        target.what,
        async () => {
          const result = await lease.whileHeld(signal, (limited) => target.put(texts, limited))
          if (result === 'written') said.written(target.what)
          if (result !== 'same' && result !== 'written') all = false
        },
        signal,
      )
      all &&= done
    }
    return all
  }

  async #attempt(what: string, work: () => Promise<void>, signal: AbortSignal): Promise<boolean> {
    try {
      await work()
      if (this.#troubles.delete(what)) this.options.said.succeeded(what)
      return true
    } catch (error) {
      if (signal.aborted) return false
      if (!(error instanceof AgentError)) throw error
      if (this.#troubles.get(what) !== error.message) this.options.said.failed(what, error)
      this.#troubles.set(what, error.message)
      return false
    }
  }
}

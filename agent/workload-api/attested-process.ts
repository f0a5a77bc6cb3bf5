import { type Attestation, type AttestContext, attestAsItself, type Known } from '../attestation/attest.js'
import type { Note, WithdrawnSelectors } from '../attestation/attestor.js'
import type { Caller } from '../attestation/caller.js'
import { filterKnown, isKnown } from '../attestation/known.js'
import { AgentError, messageOf } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import { delay } from '../lib/backoff.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { Kernel } from '../ports/kernel.js'
import type { Random } from '../ports/random.js'
import { stillItself } from './still-itself.js'

const RETRY = { baseMs: 1_000, capMs: 30_000 }
const NOTHING: Known = new Map()
const NO_SELECTORS: Selectors = new Map()

/** The attestation state of a workload. A `failed` attestation is retried on a schedule; until then nothing is granted. */
export type WorkloadState =
  | { readonly kind: 'pending'; readonly since: number }
  | {
      readonly kind: 'attested'
      /** The same object as long as the selectors are equal. */
      readonly selectors: Selectors
      /** Platforms whose selectors are unknown now; selectors that were known before are kept. */
      readonly unavailable: readonly string[]
      readonly notes: readonly Note[]
      /** How long a call may wait for unavailable platforms, in milliseconds; 0: the usual hold. */
      readonly waitMs: number
      /** Monotonic milliseconds. */
      readonly at: number
    }
  | { readonly kind: 'failed'; readonly error: AgentError; readonly at: number }

/** The dependencies of an attested process. */
export interface AttestedProcessContext extends AttestContext {
  readonly events: CallerEvents
  readonly kernel: Kernel
  readonly random: Random
}

/**
 * A process with its attestation, kept up to date: it is attested again when its platforms or the attestors change, and
 * on a schedule after failures. Watches the process, and checks that it is still the one that connected.
 */
export abstract class AttestedProcess implements Disposable {
  #state: WorkloadState
  #ended = false
  #disposed = false
  #known = NOTHING
  #attempts = 0
  #again = false
  /** The running attestation uses attestors that are no longer in force. */
  #outdated = false
  #running: AbortController | null = null
  #retry: Disposable | undefined
  /** Platforms whose selectors an entry requires since the last attestation. */
  readonly #unlooked = new Set<string>()
  readonly #watches: Disposable[] = []
  readonly #ofAttestors: Disposable[] = []

  constructor(
    readonly caller: Caller,
    protected readonly context: AttestedProcessContext,
  ) {
    this.#state = { kind: 'pending', since: context.clock.monotonic() }
  }

  /** The state changed, so decisions may change. */
  protected abstract changed(): void

  /** The process has exited, and the state says so. */
  protected abstract exited(): void

  /** The selectors of the last attestation; empty until one has succeeded. */
  get selectors(): Selectors {
    return this.#state.kind === 'attested' ? this.#state.selectors : NO_SELECTORS
  }

  get state(): WorkloadState {
    return this.#state
  }

  /** The selectors of the last attestation by attestor; the next one starts from them. */
  get known(): Known {
    return this.#known
  }

  /** True once the process has exited; the state is then `failed` with `caller.exited`. */
  get ended(): boolean {
    return this.#ended
  }

  /** Watches the process and changes of its attestors, and starts the first attestation. */
  start(): void {
    this.#watches.push(this.context.kernel.onExit(this.caller.process, () => this.#end()))
    this.#watchAttestors()
    this.reattest()
  }

  /**
   * Other attestors are in force: attests again with them. Until then the selectors stay, except those that are withdrawn at
   * once; the result of a running attestation is dropped.
   */
  attestorsChanged(withdrawn: WithdrawnSelectors): void {
    if (this.#ended || this.#disposed) return
    this.#watchAttestors()
    const counts = filterKnown(this.#known, (attestor, key) => !withdrawn.now(attestor, key))
    this.#known = filterKnown(counts, (attestor, key) => !withdrawn.next(attestor, key))
    const state = this.#state
    if (state.kind === 'attested') {
      const selectors = new Map([...state.selectors].filter(([key, value]) => isKnown(counts, key, value)))
      if (selectors.size < state.selectors.size) this.become({ ...state, selectors }, true)
    }
    this.#outdated = this.#running !== null
    this.reattest()
  }

  #watchAttestors(): void {
    for (const watch of this.#ofAttestors.splice(0)) watch[Symbol.dispose]()
    for (const attestor of this.context.attestors) {
      try {
        const watch = attestor.onChange?.(this.caller, () => this.reattest())
        if (watch) this.#ofAttestors.push(watch)
      } catch (error) {
        this.context.events.attestorFailed(attestor.name, error)
      }
    }
  }

  /**
   * Checks that this is still the process that connected: null, `caller.exited`, `caller.executable_changed` or
   * `caller.ids_changed`. Takes some 20 µs; decisions in one iteration of the event loop share one check.
   */
  check(): AgentError | null {
    if (this.#state.kind === 'failed' && (this.#ended || this.#disposed)) return this.#state.error
    const error = stillItself(this.caller)
    // The exit notification comes slightly later.
    if (error?.code === 'caller.exited') this.#end()
    return error
  }

  /** Attests a process again that changed and changed back (exec); failed attestors have their own schedule. */
  protected reattestIfFailed(): void {
    if (this.#state.kind === 'failed' && !this.#retry && !this.#running) this.reattest()
  }

  /** Attests again now, in addition to the schedule. Until then the state stays. */
  reattest(): void {
    if (this.#ended || this.#disposed) return
    if (this.#running) {
      this.#again = true
      return
    }
    this.#cancelRetry()
    void this.#attest()
  }

  /**
   * Attests again, because an entry requires selectors of the platform that were not read. Until then the platform is
   * unavailable, so that the entry does not count as one that does not match.
   */
  lookAgain(platform: string): void {
    if (this.#ended || this.#disposed) return
    this.#unlooked.add(platform)
    if (this.#state.kind === 'attested') {
      this.become({ ...this.#state, unavailable: withAll(this.#state.unavailable, this.#unlooked) }, true)
    }
    this.reattest()
  }

  /** Releases the process. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cancelRetry()
    for (const watch of [...this.#watches.splice(0), ...this.#ofAttestors.splice(0)]) watch[Symbol.dispose]()
    this.#running?.abort(new AgentError('caller.exited', 'no connection of this process is left'))
    this.caller.process[Symbol.dispose]()
  }

  /** `news`: notify those that decide by the state. */
  protected become(state: WorkloadState, news: boolean): void {
    this.#state = state
    if (news) this.changed()
  }

  /** Never rejects: every result becomes the state. */
  async #attest(): Promise<void> {
    const { clock } = this.context
    const controller = new AbortController()
    const began = clock.monotonic()
    this.#running = controller
    const lookedFor = [...this.#unlooked]
    try {
      const result = await attestAsItself(this.context, this.caller, this.#known, controller, () => this.check())
      if (this.#ended || this.#disposed || this.#outdated) return
      if (result instanceof AgentError) this.#refuse(result, clock.monotonic() - began)
      else {
        for (const platform of lookedFor) this.#unlooked.delete(platform)
        this.#accept(result, clock.monotonic() - began)
      }
    } catch (cause) {
      if (this.#ended || this.#disposed || this.#outdated) return
      // Attestors throw AgentErrors for failures of processes, engines and the kernel; any other error is our defect.
      const error = cause instanceof AgentError ? cause : new AgentError('internal', messageOf(cause), { cause })
      this.#fail(error, clock.monotonic() - began)
      this.#retryLater()
    } finally {
      this.#running = null
      this.#outdated = false
      if (this.#again) {
        this.#again = false
        this.reattest()
      }
    }
  }

  #accept({ selectors, notes, known, waitMs, ...found }: Attestation, ms: number): void {
    const unavailable = withAll(found.unavailable, this.#unlooked)
    this.context.events.attested(this.caller, { selectors, unavailable, ms })
    this.#known = known
    const before = this.#state
    const unchanged = before.kind === 'attested' && sameSelectors(before.selectors, selectors)
    const kept = unchanged ? before.selectors : selectors
    const quiet = unchanged && before.unavailable.join() === unavailable.join() && before.waitMs === waitMs
    this.become(
      { kind: 'attested', selectors: kept, unavailable, notes, waitMs, at: this.context.clock.monotonic() },
      !quiet,
    )
    if (unavailable.length > 0) this.#retryLater()
    else this.#attempts = 0
  }

  #refuse(error: AgentError, ms: number): void {
    this.#fail(error, ms)
    // A change by the process lasts until it connects again; an unreadable process (no descriptors) is temporary.
    if (error.code === 'caller.unidentified') this.#retryLater()
  }

  #fail(error: AgentError, ms: number): void {
    this.context.events.attestationFailed(this.caller, error, ms)
    const before = this.#state
    const news = before.kind !== 'failed' || before.error.code !== error.code
    this.become({ kind: 'failed', error, at: this.context.clock.monotonic() }, news)
  }

  #end(): void {
    if (this.#ended || this.#disposed) return
    this.#ended = true
    const error = new AgentError('caller.exited', `process ${this.caller.pid} has ended`)
    this[Symbol.dispose]()
    this.become({ kind: 'failed', error, at: this.context.clock.monotonic() }, true)
    this.exited()
  }

  #retryLater(): void {
    const ms = delay(++this.#attempts, RETRY, this.context.random.fraction())
    this.#cancelRetry()
    this.#retry = this.context.clock.after(ms, () => {
      this.#retry = undefined
      this.reattest()
    })
  }

  #cancelRetry(): void {
    this.#retry?.[Symbol.dispose]()
    this.#retry = undefined
  }
}

function withAll(unavailable: readonly string[], more: ReadonlySet<string>): readonly string[] {
  return more.size === 0 ? unavailable : [...new Set([...unavailable, ...more])].sort()
}

function sameSelectors(a: Selectors, b: Selectors): boolean {
  if (a.size !== b.size) return false
  for (const [key, value] of a) if (b.get(key) !== value) return false
  return true
}

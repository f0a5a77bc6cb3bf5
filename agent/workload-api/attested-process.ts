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

/** What is known of a workload now. A `failed` one is tried again on a schedule; nothing is granted on it meanwhile. */
export type WorkloadState =
  | { readonly kind: 'pending'; readonly since: number }
  | {
      readonly kind: 'attested'
      /** The same object for as long as the selectors stay the same. */
      readonly selectors: Selectors
      /** Platforms whose selectors are unknown now; those that were known before for this process are kept. */
      readonly unavailable: readonly string[]
      readonly notes: readonly Note[]
      /** How long it is worth waiting for what is unavailable, in milliseconds; 0: no longer than for anything else. */
      readonly waitMs: number
      /** Monotonic milliseconds. */
      readonly at: number
    }
  | { readonly kind: 'failed'; readonly error: AgentError; readonly at: number }

/** What keeps a process attested. */
export interface AttestedProcessContext extends AttestContext {
  readonly events: CallerEvents
  readonly kernel: Kernel
  readonly random: Random
}

/**
 * A process with its attestation, kept up to date: attested again when its platforms change, when the attestors do, and
 * on a schedule while something fails. Its process is watched, and checked against the caller of the accept.
 */
export abstract class AttestedProcess implements Disposable {
  #state: WorkloadState
  #ended = false
  #disposed = false
  #known = NOTHING
  #attempts = 0
  #again = false
  /** The attestation under way asks attestors that are no longer in force. */
  #outdated = false
  #running: AbortController | null = null
  #retry: Disposable | undefined
  /** Platforms whose selectors became wanted since the last attestation. */
  readonly #unlooked = new Set<string>()
  readonly #watches: Disposable[] = []
  readonly #ofAttestors: Disposable[] = []

  constructor(
    readonly caller: Caller,
    protected readonly context: AttestedProcessContext,
  ) {
    this.#state = { kind: 'pending', since: context.clock.monotonic() }
  }

  /** The state is another one, by which decisions may be others. */
  protected abstract changed(): void

  /** The process has ended, and the state says so. */
  protected abstract exited(): void

  /** Those of the last attestation; empty until it has succeeded. */
  get selectors(): Selectors {
    return this.#state.kind === 'attested' ? this.#state.selectors : NO_SELECTORS
  }

  get state(): WorkloadState {
    return this.#state
  }

  /** What the last attestation found, by attestor: the next one starts from it. */
  get known(): Known {
    return this.#known
  }

  /** True once the process has ended; the state is then `failed` with `caller.exited`. */
  get ended(): boolean {
    return this.#ended
  }

  /** Watches the process and what the attestors know of it, and attests for the first time. */
  start(): void {
    this.#watches.push(this.context.kernel.onExit(this.caller.process, () => this.#end()))
    this.#watchAttestors()
    this.reattest()
  }

  /**
   * Other attestors are in force: this one is attested again by them. Until then its selectors count, but those that
   * are withdrawn at once; an attestation under way counts no more.
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
   * Whether this is still the caller of the accept: `caller.exited`, `caller.executable_changed`, `caller.ids_changed`
   * or null. Some 20 µs; decisions share one in a turn.
   */
  check(): AgentError | null {
    if (this.#state.kind === 'failed' && (this.#ended || this.#disposed)) return this.#state.error
    const error = stillItself(this.caller)
    // The notice of the exit comes a moment later.
    if (error?.code === 'caller.exited') this.#end()
    return error
  }

  /** A process that changed and changed back (exec) is attested again; failed attestors have their schedule. */
  protected reattestIfFailed(): void {
    if (this.#state.kind === 'failed' && !this.#retry && !this.#running) this.reattest()
  }

  /** Attests again now, besides the schedule. The state stays what it is until that is done. */
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
   * Attests again, because selectors of the platform are wanted that were not looked for. At once, and until then, the
   * platform is unavailable: an entry that asks for them now must not be taken for one that does not match.
   */
  lookAgain(platform: string): void {
    if (this.#ended || this.#disposed) return
    this.#unlooked.add(platform)
    if (this.#state.kind === 'attested') {
      this.become({ ...this.#state, unavailable: withAll(this.#state.unavailable, this.#unlooked) }, true)
    }
    this.reattest()
  }

  /** Lets go of the process. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cancelRetry()
    for (const watch of [...this.#watches.splice(0), ...this.#ofAttestors.splice(0)]) watch[Symbol.dispose]()
    this.#running?.abort(new AgentError('caller.exited', 'nobody asks for this process any more'))
    this.caller.process[Symbol.dispose]()
  }

  /** `news`: whoever decides by the state has to know. */
  protected become(state: WorkloadState, news: boolean): void {
    this.#state = state
    if (news) this.changed()
  }

  /** Never rejects: whatever happens becomes the state. */
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
      // Attestors throw AgentErrors for what a process, an engine or the kernel does; anything else is ours.
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
    // What the process did stands until it connects again; that the kernel could not be asked passes (no descriptors).
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

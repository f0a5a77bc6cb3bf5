import { type Attestation, type AttestContext, attest, type Known } from '../attestation/attest.js'
import type { Caller } from '../attestation/caller.js'
import { AgentError, messageOf } from '../errors.js'
import type { Selectors } from '../identity/selector.js'
import type { Kernel } from '../ports/kernel.js'
import type { Random } from '../ports/random.js'
import { stillItself } from './still-itself.js'
import type { Workload, WorkloadState } from './workload.js'

const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 30_000
const NOTHING: Known = new Map()

export interface TrackedContext extends AttestContext {
  readonly kernel: Kernel
  readonly random: Random
  /** The last holder let go. */
  readonly idle: (workload: TrackedWorkload) => void
  /** The process ended: the workload is of no more use to anybody new. */
  readonly over: (workload: TrackedWorkload) => void
}

/** A workload that keeps its attestation up to date for as long as somebody holds it. */
export class TrackedWorkload implements Workload, Disposable {
  #state: WorkloadState
  #ended = false
  #disposed = false
  #holders = 0
  #known = NOTHING
  #attempts = 0
  #again = false
  #running: AbortController | null = null
  #retry: Disposable | undefined
  #telling = false
  /** Platforms of which selectors are wanted that no attestation has looked for yet. */
  readonly #unlooked = new Set<string>()
  readonly #watches: Disposable[] = []
  readonly #subscribers = new Set<() => void>()

  constructor(
    readonly caller: Caller,
    readonly key: string,
    private readonly context: TrackedContext,
  ) {
    this.#state = { kind: 'pending', since: context.clock.monotonic() }
  }

  get state(): WorkloadState {
    return this.#state
  }

  get ended(): boolean {
    return this.#ended
  }

  /** Watches the process and what the attestors know of it, and attests for the first time. */
  start(): void {
    this.#watches.push(this.context.kernel.onExit(this.caller.process, () => this.#end()))
    for (const attestor of this.context.attestors) {
      try {
        const watch = attestor.onChange?.(this.caller, () => this.reattest())
        if (watch) this.#watches.push(watch)
      } catch (error) {
        this.context.events.attestorFailed(attestor.name, error)
      }
    }
    this.reattest()
  }

  hold(): void {
    this.#holders++
    // A process that changed and changed back (exec) is looked at anew; failed attestors have their schedule.
    if (this.#state.kind === 'failed' && !this.#retry && !this.#running) this.reattest()
  }

  release(): void {
    if (this.#holders === 0) throw new TypeError('a workload was released more often than acquired')
    if (--this.#holders === 0) this.context.idle(this)
  }

  check(): AgentError | null {
    if (this.#state.kind === 'failed' && (this.#ended || this.#disposed)) return this.#state.error
    const error = stillItself(this.caller)
    // The notice of the exit comes a moment later.
    if (error?.code === 'caller.exited') this.#end()
    return error
  }

  subscribe(changed: () => void): Disposable {
    const subscriber = () => changed()
    this.#subscribers.add(subscriber)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) }
  }

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
      this.#state = { ...this.#state, unavailable: withAll(this.#state.unavailable, this.#unlooked) }
      this.#tell()
    }
    this.reattest()
  }

  /** Lets go of the process. */
  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.#cancelRetry()
    for (const watch of this.#watches.splice(0)) watch[Symbol.dispose]()
    this.#running?.abort(new AgentError('caller.exited', 'nobody asks for this process any more'))
    this.caller.process[Symbol.dispose]()
  }

  /** Never rejects: whatever happens becomes the state. */
  async #attest(): Promise<void> {
    const { clock } = this.context
    const controller = new AbortController()
    const began = clock.monotonic()
    this.#running = controller
    const lookedFor = [...this.#unlooked]
    try {
      // Before and after: what was read in between belongs to this process and this program, or does not count.
      const group = this.#controlGroup()
      const result = this.check() ?? (await attest(this.context, this.caller, this.#known, controller))
      if (this.#ended || this.#disposed) return
      const error = result instanceof AgentError ? result : (this.check() ?? this.#moved(group))
      if (this.#ended || this.#disposed) return
      if (error) this.#refuse(error, clock.monotonic() - began)
      else if (!(result instanceof AgentError)) {
        for (const platform of lookedFor) this.#unlooked.delete(platform)
        this.#accept(result, clock.monotonic() - began)
      }
    } catch (cause) {
      if (this.#ended || this.#disposed) return
      const error = cause instanceof AgentError ? cause : new AgentError('internal', messageOf(cause), { cause })
      this.#fail(error, clock.monotonic() - began)
      this.#retryLater()
    } finally {
      this.#running = null
      if (this.#again) {
        this.#again = false
        this.reattest()
      }
    }
  }

  /** Null where it cannot be read: then no attestor has any use for it either. */
  #controlGroup(): string | null {
    try {
      return this.caller.process.read('cgroup')
    } catch (error) {
      if (error instanceof AgentError) return null
      throw error
    }
  }

  /** Each attestor reads the control group for itself: what they say together is of one only if it stayed. */
  #moved(before: string | null): AgentError | null {
    if (this.#controlGroup() === before) return null
    return new AgentError(
      'caller.unidentified',
      `process ${this.caller.pid} was moved to another control group while it was attested; that is tried again`,
    )
  }

  #accept({ selectors, notes, known, waitMs, ...found }: Attestation, ms: number): void {
    const unavailable = withAll(found.unavailable, this.#unlooked)
    this.context.events.attested(this.caller, { selectors, unavailable, ms })
    this.#known = known
    const before = this.#state
    const unchanged = before.kind === 'attested' && sameSelectors(before.selectors, selectors)
    const kept = unchanged ? before.selectors : selectors
    const quiet = unchanged && before.unavailable.join() === unavailable.join() && before.waitMs === waitMs
    this.#state = { kind: 'attested', selectors: kept, unavailable, notes, waitMs, at: this.context.clock.monotonic() }
    if (!quiet) this.#tell()
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
    this.#state = { kind: 'failed', error, at: this.context.clock.monotonic() }
    if (before.kind !== 'failed' || before.error.code !== error.code) this.#tell()
  }

  #end(): void {
    if (this.#ended || this.#disposed) return
    this.#ended = true
    const error = new AgentError('caller.exited', `process ${this.caller.pid} has ended`)
    this.#state = { kind: 'failed', error, at: this.context.clock.monotonic() }
    this[Symbol.dispose]()
    this.#tell()
    this.context.over(this)
  }

  /** 1 s, doubled up to 30 s, of which the upper half is drawn. */
  #retryLater(): void {
    const full = Math.min(LAST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#attempts++, 10))
    const ms = full * (0.5 + 0.5 * this.context.random.fraction())
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

  /** Soon, once for all that changed meanwhile, and never inside the call that caused it. */
  #tell(): void {
    if (this.#telling) return
    this.#telling = true
    queueMicrotask(() => {
      this.#telling = false
      for (const changed of [...this.#subscribers]) changed()
    })
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

import { type Caller, callerOf } from '../../agent/attestation/caller.js'
import { AgentError, type ErrorCode } from '../../agent/errors.js'
import type { Workload, WorkloadState } from '../../agent/workload-api/workload.js'
import { FakeKernel, type ProcessTraits } from './kernel.js'

/** A workload whose attestation is what the test says. */
export class FakeWorkload implements Workload {
  readonly caller: Caller
  state: WorkloadState = { kind: 'pending', since: 0 }
  ended = false
  holders = 0
  reattested = 0
  /** What `check` says. */
  wrong: AgentError | null = null
  checks = 0
  readonly #subscribers = new Set<() => void>()

  constructor(traits: ProcessTraits = {}, kernel = new FakeKernel()) {
    this.caller = callerOf(kernel.peer(kernel.spawn(traits)))
  }

  static attested(pairs: Readonly<Record<string, string>>, unavailable: readonly string[] = []): FakeWorkload {
    const workload = new FakeWorkload()
    workload.set(pairs, unavailable)
    return workload
  }

  get subscribers(): number {
    return this.#subscribers.size
  }

  /** Attested from now on, without telling. */
  set(pairs: Readonly<Record<string, string>>, unavailable: readonly string[] = []): void {
    this.state = {
      kind: 'attested',
      selectors: new Map(Object.entries(pairs)),
      unavailable,
      notes: [],
      waitMs: 0,
      at: 0,
    }
  }

  attest(pairs: Readonly<Record<string, string>>, unavailable: readonly string[] = []): void {
    this.set(pairs, unavailable)
    this.tell()
  }

  fail(code: ErrorCode): void {
    this.state = { kind: 'failed', error: new AgentError(code, `failed: ${code}`), at: 0 }
    this.tell()
  }

  end(): void {
    this.ended = true
    this.fail('caller.exited')
  }

  tell(): void {
    queueMicrotask(() => {
      for (const changed of [...this.#subscribers]) changed()
    })
  }

  check(): AgentError | null {
    this.checks++
    return this.wrong
  }

  subscribe(changed: () => void): Disposable {
    const subscriber = () => changed()
    this.#subscribers.add(subscriber)
    return { [Symbol.dispose]: () => void this.#subscribers.delete(subscriber) }
  }

  reattest(): void {
    this.reattested++
  }

  release(): void {
    if (this.holders === 0) throw new TypeError('a workload was released more often than acquired')
    this.holders--
  }
}

import { callerOf } from '../../agent/attestation/caller.js'
import { AgentError, type ErrorCode } from '../../agent/errors.js'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { Demand } from '../../agent/svids/demand.js'
import { SvidStore } from '../../agent/svids/store.js'
import { Workload, type WorkloadContext, type WorkloadOwner } from '../../agent/workload-api/workload.js'
import { FakeClock } from './clock.js'
import { FakeKernel, type ProcessTraits } from './kernel.js'
import { fixedRandom } from './random.js'
import { RecordedSinks } from './sinks.js'

/** What a workload works with where nothing is attested: a store and a demand of the test's, or of its own. */
export function workloadContext(given: Partial<WorkloadContext> = {}): WorkloadContext {
  const clock = given.clock ?? new FakeClock()
  return {
    attestors: [],
    kernel: new FakeKernel(),
    clock,
    random: fixedRandom(1),
    events: callerEvents(new RecordedSinks(), clock),
    deadlineMs: 2000,
    store: new SvidStore(),
    demand: new Demand(clock),
    maxIdentities: 64,
    apiEvents: { truncated: () => undefined, labelOfImage: () => undefined, workloadEnded: () => undefined },
    unmatched: () => {},
    ...given,
  }
}

/** Keeps no workload. */
export const nobody: WorkloadOwner = { idle: () => undefined, over: () => undefined }

/** A workload whose attestation is what the test says. */
export class FakeWorkload extends Workload {
  holders = 0
  reattested = 0
  subscribers = 0
  /** What `check` says. */
  wrong: AgentError | null = null
  checks = 0
  decisions = 0

  constructor(traits: ProcessTraits = {}, context: WorkloadContext = workloadContext(), kernel = new FakeKernel()) {
    super(callerOf(kernel.peer(kernel.spawn(traits))), 'fake', context, nobody)
  }

  static attested(
    pairs: Readonly<Record<string, string>>,
    unavailable: readonly string[] = [],
    context: WorkloadContext = workloadContext(),
  ): FakeWorkload {
    const workload = new FakeWorkload({}, context)
    workload.set(pairs, unavailable)
    return workload
  }

  /** Attested from now on, without telling. */
  set(pairs: Readonly<Record<string, string>>, unavailable: readonly string[] = [], waitMs = 0): void {
    this.#becomeAttested(pairs, unavailable, false, waitMs)
  }

  attest(pairs: Readonly<Record<string, string>>, unavailable: readonly string[] = []): void {
    this.#becomeAttested(pairs, unavailable, true)
  }

  fail(code: ErrorCode): void {
    this.become({ kind: 'failed', error: new AgentError(code, `failed: ${code}`), at: 0 }, true)
  }

  end(): void {
    this.fail('caller.exited')
  }

  override start(): void {}

  override check(): AgentError | null {
    this.checks++
    return this.wrong
  }

  override decisionInput(): ReturnType<Workload['decisionInput']> {
    this.decisions++
    return super.decisionInput()
  }

  override subscribe(changed: () => void, options?: { readonly demand: boolean }): Disposable {
    const subscription = super.subscribe(changed, options)
    this.subscribers++
    let over = false
    return {
      [Symbol.dispose]: () => {
        subscription[Symbol.dispose]()
        if (!over) this.subscribers--
        over = true
      },
    }
  }

  override reattest(): void {
    this.reattested++
  }

  override hold(): void {
    this.holders++
  }

  override release(): void {
    if (this.holders === 0) throw new TypeError('a workload was released more often than acquired')
    this.holders--
  }

  #becomeAttested(
    pairs: Readonly<Record<string, string>>,
    unavailable: readonly string[],
    news: boolean,
    waitMs = 0,
  ): void {
    this.become(
      { kind: 'attested', selectors: new Map(Object.entries(pairs)), unavailable, notes: [], waitMs, at: 0 },
      news,
    )
  }
}

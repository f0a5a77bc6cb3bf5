import { status } from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { Decision, DecisionInput, Refusal } from './decision.js'
import { grpcError, refusalStatus } from './refusal.js'
import type { Workload } from './workload.js'

/** What a streaming method sends, and to whom. */
export interface StreamKind {
  readonly method: Method
  /** The dialect, or another service, whose messages these are; for listings. */
  readonly dialect: string
  decide(input: DecisionInput): Decision
  /** What there is to send; the same object as long as it is the same content. */
  content(snapshot: Snapshot, ids: readonly string[]): object
  /** The encoded message, encoded once per content. */
  encode(content: object): Buffer
  /** Tells observers of the SVIDs in the content, before it is sent. */
  serves?(to: Workload, content: object): void
}

/** Our side of a streaming call. */
export interface Outgoing {
  /** `written` follows the client's flow-control window. */
  write(message: Buffer, written: () => void): unknown
  on(event: 'cancelled' | 'error', listener: () => void): unknown
  /** Ends the call with the status that the error is. */
  emit(event: 'error', error: Error): unknown
}

export interface ResponseStreamOptions {
  readonly workload: Workload
  readonly kind: StreamKind
  readonly snapshot: () => Snapshot
  readonly stopping: () => boolean
  readonly clock: Clock
  readonly events: ApiEvents
  /** Read at each decision and each message. */
  readonly times: { readonly holdMs: number; readonly stalledMs: number }
  /** The client does not read: its connection is not worth keeping, or this call. */
  readonly onStalled: () => void
  readonly onEnd: () => void
}

/**
 * Our side of one streaming call. It decides at each change: a content that differs from the last one is sent, at most
 * one message is under way at a time, and what changed meanwhile is sent in its newest form when the client has read. A
 * defect of ours ends this stream and no other.
 */
export class ResponseStream {
  readonly kind: StreamKind
  /** When it was opened; wall-clock milliseconds. */
  readonly since: number
  #sent = 0
  readonly #call: Outgoing
  readonly #options: ResponseStreamOptions
  readonly #began: number
  #subscription: Disposable | null = null
  /** Since when the stream waits for something to send; null while it does not. */
  #waitsSince: number | null
  #served: readonly string[] | null = null
  #last: object | null = null
  #writing = false
  /** Something changed while a message was under way. */
  #dirty = false
  #ended = false
  #hold: Disposable | null = null
  #stall: Disposable | null = null

  constructor(call: Outgoing, options: ResponseStreamOptions) {
    this.#call = call
    this.#options = options
    this.kind = options.kind
    this.since = options.clock.now()
    this.#began = options.clock.monotonic()
    this.#waitsSince = this.#began
  }

  /** Messages that were sent. */
  get sent(): number {
    return this.#sent
  }

  /** Makes the first decision; from now on changes are noticed. Call it once. */
  start(): void {
    const { workload, events, kind } = this.#options
    // ST-11: a client that cancelled gets nothing more.
    this.#call.on('cancelled', () => this.#end(status.CANCELLED))
    this.#call.on('error', () => this.#end(status.CANCELLED))
    events.streamOpened(kind.method)
    try {
      this.#subscription = workload.subscribe(() => this.evaluate())
    } catch (error) {
      this.#fail(error)
    }
    this.evaluate()
  }

  /** Decides again after a change that the workload does not observe. */
  evaluate(): void {
    if (this.#ended) return
    // Decided again when the client has read.
    this.#dirty = this.#writing
    if (this.#writing) return
    try {
      this.#decide()
    } catch (error) {
      this.#fail(error)
    }
  }

  #decide(): void {
    const { workload, kind, clock, events, times, stopping, snapshot } = this.#options
    const decision = kind.decide({
      ...workload.decisionInput(),
      now: clock.now(),
      heldForMs: this.#waitsSince === null ? 0 : clock.monotonic() - this.#waitsSince,
      holdMs: times.holdMs,
      served: this.#served,
      stopping: stopping(),
    })
    this.#hold?.[Symbol.dispose]()
    this.#hold = null
    events.decided(workload.caller, kind.method, decision.kind, codeOfDecision(decision))
    switch (decision.kind) {
      case 'send':
        this.#waitsSince = null
        this.#send(decision.ids, kind.content(snapshot(), decision.ids))
        return
      case 'hold':
        this.#waitsSince ??= clock.monotonic()
        this.#hold = clock.after(decision.forMs, () => this.evaluate())
        return
      case 'refuse':
        this.#refuse(decision)
    }
  }

  #send(ids: readonly string[], content: object): void {
    if (content === this.#last) return
    const { workload, kind, clock, events, times, onStalled } = this.#options
    const message = kind.encode(content)
    kind.serves?.(workload, content)
    const first = this.#last === null
    this.#last = content
    this.#served = ids
    this.#writing = true
    this.#sent++
    this.#stall = clock.after(times.stalledMs, () => {
      onStalled()
      this.#end(status.CANCELLED)
    })
    // A slow reader costs one message, not a queue.
    this.#call.write(message, () => {
      this.#writing = false
      this.#stall?.[Symbol.dispose]()
      // Where nothing changed meanwhile there is nothing to decide: it would be what was sent.
      if (this.#dirty) this.evaluate()
    })
    events.pushed(kind.method, first ? clock.monotonic() - this.#began : null, workload.caller)
  }

  #refuse(refusal: Refusal): void {
    const { workload, kind, events } = this.#options
    const error = refusalStatus(refusal, workload, kind.method, events)
    this.#end(error.code)
    this.#call.emit('error', error)
  }

  #fail(cause: unknown): void {
    if (this.#ended) return
    const { kind, events } = this.#options
    events.handlerFailed(kind.method, cause)
    const error = grpcError({ code: 'internal', message: 'the call failed within the agent; try again' })
    this.#end(error.code)
    this.#call.emit('error', error)
  }

  #end(code: status): void {
    if (this.#ended) return
    this.#ended = true
    this.#hold?.[Symbol.dispose]()
    this.#stall?.[Symbol.dispose]()
    this.#subscription?.[Symbol.dispose]()
    this.#options.events.streamClosed(this.kind.method, status[code])
    this.#options.onEnd()
  }
}

function codeOfDecision(decision: Decision) {
  if (decision.kind === 'send') return null
  return decision.kind === 'hold' ? decision.reason.code : decision.code
}

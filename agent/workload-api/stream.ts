import { status } from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { Decision, DecisionInput, Refusal } from './decision.js'
import { grpcError, refusalStatus } from './refusal.js'
import type { Workload } from './workload.js'

/** The kind of a stream: what a streaming method sends. */
export interface StreamKind {
  readonly method: Method
  /** The dialect or other service of the messages, for listings. */
  readonly dialect: string
  decide(input: DecisionInput): Decision
  /** The content to send; equal content is the same object. */
  content(snapshot: Snapshot, ids: readonly string[]): object
  /** The encoded message, encoded once per content. */
  encode(content: object): Buffer
  /** Reports the SVIDs in the content to observers, before it is sent. */
  serves?(to: Workload, content: object): void
}

/** Our side of a streaming call. */
export interface Outgoing {
  /** `written` is called when the client's flow-control window has taken the message. */
  write(message: Buffer, written: () => void): unknown
  on(event: 'cancelled' | 'error', listener: () => void): unknown
  /** Ends the call with the error as its status. */
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
  /** Called if the client does not read: closes its connection, or only this call. */
  readonly onStalled: () => void
  readonly onEnd: () => void
}

/**
 * Our side of one streaming call. Decides at each change and sends content that differs from the last. At most one message
 * is in flight; later changes are sent in their newest form when the client has read it. A defect ends this stream only.
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
  /** Since when the stream has waited for content; null while it does not wait. */
  #waitsSince: number | null
  #served: readonly string[] | null = null
  #last: object | null = null
  #writing = false
  /** Something changed while a message was in flight. */
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

  /** Number of sent messages. */
  get sent(): number {
    return this.#sent
  }

  /** Subscribes to changes and makes the first decision. Call it once. */
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
    // While a message is in flight, the decision waits until the client has read it.
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
    // One message in flight, so that a slow reader costs no queue.
    this.#call.write(message, () => {
      this.#writing = false
      this.#stall?.[Symbol.dispose]()
      // Without a change meanwhile, the decision would be the same content.
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

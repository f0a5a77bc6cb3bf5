import { status } from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../svids/snapshot.js'
import type { Circumstances, Refusal, Verdict } from './decision.js'
import type { Feed } from './feed.js'
import { grpcError, refusalStatus } from './refusal.js'

/** What a streaming method sends. */
export interface Source {
  readonly method: Method
  judge(c: Circumstances): Verdict
  /** What there is to send; the same object as long as it is the same content. */
  content(snapshot: Snapshot, ids: readonly string[]): object
  /** The encoded message, encoded once per content. */
  encode(content: object): Buffer
}

/** Our side of a streaming call. */
export interface Outgoing {
  /** `written` follows the client's flow-control window. */
  write(message: Buffer, written: () => void): unknown
  on(event: 'cancelled' | 'error', listener: () => void): unknown
  /** Ends the call with the status that the error is. */
  emit(event: 'error', error: Error): unknown
}

export interface PumpOptions {
  readonly feed: Feed
  readonly source: Source
  readonly snapshot: () => Snapshot
  readonly stopping: () => boolean
  readonly clock: Clock
  readonly events: ApiEvents
  readonly holdMs: number
  readonly stalledMs: number
  /** The client does not read: its connection is not worth keeping. */
  readonly onStalled: () => void
  readonly onEnd: () => void
}

/**
 * One stream. At each change a verdict is drawn: a content that differs from the last one is sent, at most one message
 * is under way at a time, and what changed meanwhile is sent in its newest form when the client has read. A defect of
 * ours ends this stream and no other.
 */
export class Pump {
  readonly #call: Outgoing
  readonly #options: PumpOptions
  readonly #began: number
  #listening: Disposable | null = null
  /** Since when the stream waits for something to send; null while it does not. */
  #waitsSince: number | null
  #served: readonly string[] | null = null
  #last: object | null = null
  #writing = false
  #ended = false
  #hold: Disposable | null = null
  #stall: Disposable | null = null

  constructor(call: Outgoing, options: PumpOptions) {
    this.#call = call
    this.#options = options
    this.#began = options.clock.monotonic()
    this.#waitsSince = this.#began
  }

  /** Draws the first verdict; from now on changes are noticed. Call it once. */
  start(): void {
    const { feed, events, source } = this.#options
    // ST-11: a client that cancelled gets nothing more.
    this.#call.on('cancelled', () => this.#end(status.CANCELLED))
    this.#call.on('error', () => this.#end(status.CANCELLED))
    events.streamOpened(source.method)
    try {
      this.#listening = feed.listen(() => this.evaluate())
    } catch (error) {
      this.#fail(error)
    }
    this.evaluate()
  }

  /** Draws the verdict anew, where something changed that the feed does not know of. */
  evaluate(): void {
    if (this.#ended || this.#writing) return
    try {
      this.#judge()
    } catch (error) {
      this.#fail(error)
    }
  }

  #judge(): void {
    const { feed, source, clock, holdMs, stopping, snapshot } = this.#options
    const found = source.judge({
      ...feed.circumstances(),
      now: clock.now(),
      heldForMs: this.#waitsSince === null ? 0 : clock.monotonic() - this.#waitsSince,
      holdMs,
      served: this.#served,
      stopping: stopping(),
    })
    this.#hold?.[Symbol.dispose]()
    this.#hold = null
    switch (found.kind) {
      case 'send':
        this.#waitsSince = null
        this.#send(found.ids, source.content(snapshot(), found.ids))
        return
      case 'hold':
        this.#waitsSince ??= clock.monotonic()
        this.#hold = clock.after(found.forMs, () => this.evaluate())
        return
      case 'refuse':
        this.#refuse(found)
    }
  }

  #send(ids: readonly string[], content: object): void {
    if (content === this.#last) return
    const { source, clock, events, stalledMs, onStalled } = this.#options
    const message = source.encode(content)
    const first = this.#last === null
    this.#last = content
    this.#served = ids
    this.#writing = true
    this.#stall = clock.after(stalledMs, () => {
      onStalled()
      this.#end(status.CANCELLED)
    })
    // A slow reader costs one message, not a queue.
    this.#call.write(message, () => {
      this.#writing = false
      this.#stall?.[Symbol.dispose]()
      this.evaluate()
    })
    events.pushed(source.method, first ? clock.monotonic() - this.#began : null)
  }

  #refuse(refusal: Refusal): void {
    const { feed, source, events } = this.#options
    const error = refusalStatus(refusal, feed, source.method, events)
    this.#end(error.code)
    this.#call.emit('error', error)
  }

  #fail(cause: unknown): void {
    if (this.#ended) return
    const { source, events } = this.#options
    events.handlerFailed(source.method, cause)
    const error = grpcError({ code: 'internal', message: 'the call failed within the agent; try again' })
    this.#end(error.code)
    this.#call.emit('error', error)
  }

  #end(code: status): void {
    if (this.#ended) return
    this.#ended = true
    this.#hold?.[Symbol.dispose]()
    this.#stall?.[Symbol.dispose]()
    this.#listening?.[Symbol.dispose]()
    this.#options.events.streamClosed(this.#options.source.method, status[code])
    this.#options.onEnd()
  }
}

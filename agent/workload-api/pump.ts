import { type ServerWritableStream, status } from '@grpc/grpc-js'
import type { ApiEvents, Method } from '../observability/api-events.js'
import type { Clock } from '../ports/clock.js'
import type { Snapshot } from '../store/snapshot.js'
import type { Feed } from './feed.js'
import { refusalStatus } from './refusal.js'
import type { Circumstances, Verdict } from './verdict.js'

/** What a streaming method sends. */
export interface Source {
  readonly method: Method
  judge(c: Circumstances): Verdict
  /** What there is to send; the same object as long as it is the same content. */
  content(snapshot: Snapshot, ids: readonly string[]): object
  /** The encoded message, encoded once per content. */
  encode(content: object): Buffer
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
 * is under way at a time, and what changed meanwhile is sent in its newest form when the client has read.
 */
export class Pump {
  readonly #call: ServerWritableStream<unknown, Buffer>
  readonly #options: PumpOptions
  readonly #began: number
  readonly #listening: Disposable
  #waitBegan: number
  #served: readonly string[] | null = null
  #last: object | null = null
  #writing = false
  #ended = false
  #hold: Disposable | null = null
  #stall: Disposable | null = null

  constructor(call: ServerWritableStream<unknown, Buffer>, options: PumpOptions) {
    this.#call = call
    this.#options = options
    this.#began = this.#waitBegan = options.clock.monotonic()
    this.#listening = options.feed.listen(() => this.evaluate())
    // ST-11: a client that cancelled gets nothing more.
    call.on('cancelled', () => this.#end(status.CANCELLED))
    call.on('error', () => this.#end(status.CANCELLED))
    options.events.streamOpened(options.source.method)
  }

  /** Draws the verdict and acts on it. Call it once after construction; later changes call it by themselves. */
  evaluate(): void {
    if (this.#ended || this.#writing) return
    const { feed, source, clock, holdMs, stopping, snapshot } = this.#options
    const found = source.judge({
      ...feed.circumstances(),
      now: clock.now(),
      heldForMs: clock.monotonic() - this.#waitBegan,
      holdMs,
      served: this.#served,
      stopping: stopping(),
    })
    this.#hold?.[Symbol.dispose]()
    this.#hold = null
    switch (found.kind) {
      case 'send':
        this.#waitBegan = Number.POSITIVE_INFINITY
        this.#send(found.ids, source.content(snapshot(), found.ids))
        return
      case 'hold':
        if (this.#waitBegan === Number.POSITIVE_INFINITY) this.#waitBegan = clock.monotonic()
        this.#hold = clock.after(Math.min(found.forMs, holdMs), () => this.evaluate())
        return
      case 'refuse':
        this.#refuse(found)
    }
  }

  #send(ids: readonly string[], content: object): void {
    if (content === this.#last) return
    const { source, clock, events, stalledMs } = this.#options
    const first = this.#last === null
    this.#last = content
    this.#served = ids
    this.#writing = true
    this.#stall = clock.after(stalledMs, () => {
      this.#options.onStalled()
      this.#end(status.CANCELLED)
    })
    // The callback follows the client's flow-control window: a slow reader costs one message, not a queue.
    this.#call.write(source.encode(content), () => {
      this.#writing = false
      this.#stall?.[Symbol.dispose]()
      this.evaluate()
    })
    events.pushed(source.method, first ? clock.monotonic() - this.#began : null)
  }

  #refuse(refusal: Extract<Verdict, { kind: 'refuse' }>): void {
    const { feed, source, events } = this.#options
    const error = refusalStatus(refusal, feed, source.method, events)
    this.#end(error.code)
    this.#call.emit('error', error)
  }

  #end(code: status): void {
    if (this.#ended) return
    this.#ended = true
    this.#hold?.[Symbol.dispose]()
    this.#stall?.[Symbol.dispose]()
    this.#listening[Symbol.dispose]()
    this.#options.events.streamClosed(this.#options.source.method, status[code])
    this.#options.onEnd()
  }
}

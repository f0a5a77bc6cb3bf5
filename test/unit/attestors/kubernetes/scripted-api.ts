import { AgentError } from '../../../../agent/errors.js'
import type { HttpStream } from '../../../../agent/ports/http.js'
import type { PodObject } from '../../../support/kubernetes-pods.js'

type Answer = Error | object | null

/** An API that answers lists with its pods and leaves watches to the test. */
export class ScriptedApi {
  readonly requests: URLSearchParams[] = []
  readonly paths: string[] = []
  readonly watches: ScriptedWatch[] = []
  pods: PodObject[] = []
  version = '100'
  /** What is answered next instead, in order; null: as usual. */
  readonly nextLists: Answer[] = []
  readonly nextWatches: (Error | null)[] = []
  /** Lists get no answer. */
  hangs = false

  get lists(): URLSearchParams[] {
    return this.requests.filter((query) => !query.has('watch'))
  }

  get watch(): ScriptedWatch {
    const watch = this.watches.at(-1)
    if (!watch) throw new TypeError('nothing is watched')
    return watch
  }

  async open(path: string, signal: AbortSignal): Promise<HttpStream> {
    signal.throwIfAborted()
    const query = new URL(path, 'https://api').searchParams
    this.requests.push(query)
    this.paths.push(path)
    if (query.has('watch')) {
      const failure = this.nextWatches.shift()
      if (failure) throw failure
      const watch = new ScriptedWatch(query, signal)
      this.watches.push(watch)
      return { status: 200, headers: {}, body: watch, [Symbol.dispose]: () => undefined }
    }
    if (this.hangs) await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
    const answer = this.nextLists.shift()
    if (answer instanceof Error) throw answer
    const list = answer ?? { kind: 'PodList', metadata: { resourceVersion: this.version }, items: this.pods }
    return {
      status: 200,
      headers: {},
      body: (async function* () {
        yield Buffer.from(JSON.stringify(list))
      })(),
      [Symbol.dispose]: () => undefined,
    }
  }
}

/** One open watch. */
export class ScriptedWatch implements AsyncIterable<Buffer> {
  readonly #pieces: (Buffer | Error | null)[] = []
  #wake: () => void = () => {}
  ended = false

  constructor(
    readonly query: URLSearchParams,
    private readonly signal: AbortSignal,
  ) {
    signal.addEventListener('abort', () => this.#wake(), { once: true })
  }

  event(type: string, object: object, version?: string): void {
    const meta = 'metadata' in object ? (object.metadata as object) : {}
    const stamped = version === undefined ? object : { ...object, metadata: { ...meta, resourceVersion: version } }
    this.text(`${JSON.stringify({ type, object: stamped })}\n`)
  }

  bookmark(version: string): void {
    this.event('BOOKMARK', { kind: 'Pod', metadata: {} }, version)
  }

  text(text: string): void {
    this.bytes(Buffer.from(text))
  }

  bytes(bytes: Buffer): void {
    this.#push(bytes)
  }

  /** As the server does from time to time. */
  close(): void {
    this.#push(null)
  }

  /** As a connection that is reset. */
  break(): void {
    this.#push(new AgentError('platform.unavailable', 'reset', { details: { brokeOff: true } }))
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        this.signal.throwIfAborted()
        const piece = this.#pieces.shift()
        if (piece === null) return
        if (piece instanceof Error) throw piece
        if (piece) yield piece
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve
          })
        }
      }
    } finally {
      this.ended = true
    }
  }

  #push(piece: Buffer | Error | null): void {
    this.#pieces.push(piece)
    this.#wake()
  }
}

/** An answer of the API that is an error. */
export function refused(status: number, retryAfterMs?: number): AgentError {
  return new AgentError('platform.unavailable', `answered ${status}`, {
    details: { status, ...(retryAfterMs !== undefined && { retryAfterMs }) },
  })
}

/** No answer at all. */
export function unreachable(): AgentError {
  return new AgentError('platform.unavailable', 'refused', { cause: new Error('ECONNREFUSED') })
}

import { Agent, request } from 'node:http'

/** Larger than any page of 500 rows. */
const MAX_BYTES = 16 * 1024 * 1024
/** Longer than any answer takes, so that only an agent that hangs or is stopped exceeds it. */
const SILENT_MS = 30_000

export interface SocketAnswer {
  readonly status: number
  readonly body: string
}

export interface SocketRequest {
  readonly method: 'GET' | 'POST' | 'PUT'
  /** With its query. */
  readonly path: string
  /** JSON. */
  readonly body?: string
  /** The caller's signal or deadline. */
  readonly signal: AbortSignal
}

/** Plain HTTP to a Unix socket, one request after another on one connection, which stays open until disposal. */
export class SocketHttp implements Disposable {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 })

  constructor(
    readonly socketPath: string,
    private readonly silentMs = SILENT_MS,
  ) {}

  /** Rejects with Node's error (`ECONNREFUSED`, `EACCES`, …), `ETIMEDOUT` without data for too long, or the signal's reason. */
  ask({ method, path, body, signal }: SocketRequest): Promise<SocketAnswer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { 'content-type': 'application/json' }
      const options = {
        socketPath: this.socketPath,
        agent: this.#agent,
        method,
        path,
        signal,
        headers,
        timeout: this.silentMs,
      }
      const asked = request(options, (response) => {
        let text = ''
        response.setEncoding('utf8')
        response.on('data', (piece: string) => {
          text += piece
          if (text.length > MAX_BYTES) asked.destroy(new Error(`the answer has more than ${MAX_BYTES} bytes`))
        })
        response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }))
        response.on('error', reject)
      })
      asked.on('timeout', () => {
        asked.destroy(Object.assign(new Error(`nothing was said for ${this.silentMs / 1000} s`), { code: 'ETIMEDOUT' }))
      })
      asked.on('error', (error) => reject(signal.aborted ? signal.reason : error))
      asked.end(body)
    })
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}

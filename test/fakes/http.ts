import type { HttpClient, HttpRequest, HttpResponse, HttpStream } from '../../agent/ports/http.js'

type Answer = HttpResponse | Error | ((request: HttpRequest) => HttpResponse | Promise<HttpResponse>)

/** An HttpClient that answers what it is told to, in order, and remembers what it was asked. */
export class ScriptedHttp implements HttpClient {
  readonly requests: HttpRequest[] = []
  /** Streams that were neither read, to the end or until somebody stopped, nor disposed. */
  openStreams = 0
  #script: Answer[]
  #always: Answer | null = null

  constructor(...script: Answer[]) {
    this.#script = script
  }

  /** Answers once more. */
  add(...script: Answer[]): this {
    this.#script.push(...script)
    return this
  }

  /** Answers so whenever the script has run out. */
  always(answer: Answer): this {
    this.#always = answer
    return this
  }

  get last(): HttpRequest {
    const request = this.requests.at(-1)
    if (!request) throw new TypeError('nothing was asked yet')
    return request
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    this.requests.push(request)
    request.signal?.throwIfAborted()
    const answer = this.#script.shift() ?? this.#always
    if (!answer) throw new TypeError(`nothing scripted for ${request.method} ${request.url}`)
    if (answer instanceof Error) throw answer
    return typeof answer === 'function' ? await answer(request) : answer
  }

  async stream(request: HttpRequest): Promise<HttpStream> {
    const { status, headers, body } = await this.request(request)
    this.openStreams++
    let open = true
    const release = () => {
      if (open) this.openStreams--
      open = false
    }
    return {
      status,
      headers,
      body: (async function* () {
        try {
          yield body
        } finally {
          release()
        }
      })(),
      [Symbol.dispose]: release,
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A JSON answer. */
export function json(status: number, body: unknown, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: Buffer.from(JSON.stringify(body)),
  }
}

/** An answer of another kind. */
export function text(status: number, body: string, headers: Readonly<Record<string, string>> = {}): HttpResponse {
  return { status, headers: { 'content-type': 'text/html', ...headers }, body: Buffer.from(body) }
}

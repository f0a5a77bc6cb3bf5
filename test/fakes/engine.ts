import {
  type HttpClient,
  HttpError,
  type HttpRequest,
  type HttpResponse,
  type HttpStream,
} from '../../agent/ports/http.js'
import { MemoryFiles } from './memory-files.js'

export interface ContainerTraits {
  readonly name?: string
  readonly image?: string
  readonly imageId?: string
  /** Given to the container; those of the image come besides. */
  readonly labels?: Readonly<Record<string, string>>
  /** Those that the image was built with. */
  readonly imageLabels?: Readonly<Record<string, string>>
  /** The platform of the image that runs, where the engine tells. */
  readonly platform?: Readonly<Record<string, string>>
  /** The control group of its first process; default: as Docker with the cgroupfs driver has it. */
  readonly cgroup?: string
  readonly mountinfo?: string
}

const IMAGE = 'f0'.repeat(32)

interface FakeContainer {
  traits: ContainerTraits
  pid: number
  status: string
  startedAt: string
}

/** What a request meets: silence, a status, an answer of another kind. */
export type Mood = 'well' | 'away' | 'silent' | { readonly status: number; readonly body?: string }

/**
 * A container engine behind its socket, with the /proc of the machine that it runs on: containers that start, end, are
 * started again and renamed; an engine that is away, silent or out of its mind; a stream of events.
 */
export class FakeEngine implements Pick<HttpClient, 'request' | 'stream'> {
  readonly files = new MemoryFiles()
  readonly requests: HttpRequest[] = []
  mood: Mood = 'well'
  /** It knows no container, as one that has just started. */
  forgets = false
  /** What it answers to who asks for an image; null: the image. */
  imageMood: { readonly status: number; readonly body?: string } | null = null
  /** Runs after the engine has answered and before anybody has heard it. */
  meanwhile: () => void = () => undefined
  readonly #containers = new Map<string, FakeContainer>()
  readonly #streams = new Set<{ push(text: string): void; end(error?: unknown): void }>()
  readonly #silenced = new Set<() => void>()
  #lastPid = 4000

  /** Requests that asked for containers, not for events. */
  get inspections(): number {
    return this.#asked(/\/containers\/[^/]+\/json$/)
  }

  /** Requests that asked for images. */
  get imageInspections(): number {
    return this.#asked(/\/images\/[^/]+\/json/)
  }

  get listeners(): number {
    return this.#streams.size
  }

  start(id: string, traits: ContainerTraits = {}): number {
    const pid = ++this.#lastPid
    const before = this.#containers.get(id)?.traits
    const all = { ...before, ...traits }
    this.#containers.set(id, { traits: all, pid, status: 'running', startedAt: `2026-01-01T00:00:${pid % 60}Z` })
    this.proc(pid, all.cgroup ?? `0::/docker/${id}\n`, all.mountinfo)
    this.tell('start', id)
    return pid
  }

  end(id: string): void {
    const container = this.#of(id)
    for (const file of ['cgroup', 'mountinfo']) this.files.content.delete(`/proc/${container.pid}/${file}`)
    Object.assign(container, { pid: 0, status: 'exited' })
    this.tell('die', id)
  }

  rename(id: string, name: string): void {
    const container = this.#of(id)
    container.traits = { ...container.traits, name }
    this.tell('rename', id)
  }

  remove(id: string): void {
    this.#containers.delete(id)
    this.tell('destroy', id)
  }

  /** As the engine has it, whatever the truth. */
  says(id: string, state: { pid?: number; status?: string }): void {
    Object.assign(this.#of(id), state)
  }

  /** A process of the machine. */
  proc(pid: number, cgroup: string, mountinfo = `${1000 + pid} 1 0:44 / / rw - overlay overlay rw\n`): void {
    this.files.content.set(`/proc/${pid}/cgroup`, Buffer.from(cgroup))
    this.files.content.set(`/proc/${pid}/mountinfo`, Buffer.from(mountinfo))
  }

  tell(action: string, id: string): void {
    this.write(`${JSON.stringify({ Type: 'container', Action: action, Actor: { ID: id, Attributes: {} } })}\n`)
  }

  write(text: string): void {
    for (const stream of [...this.#streams]) stream.push(text)
  }

  /** Goes away: streams end, requests fail, those that wait in silence too. */
  goAway(error: unknown = unreachable()): void {
    this.mood = 'away'
    for (const stream of [...this.#streams]) stream.end(error)
    this.#speak()
  }

  comeBack(): void {
    this.mood = 'well'
    this.#speak()
  }

  /** Ends the streams as an engine does that stops in good order. */
  endStreams(): void {
    for (const stream of [...this.#streams]) stream.end()
  }

  async request(request: HttpRequest): Promise<HttpResponse> {
    this.requests.push(request)
    await this.#answers(request)
    const image = /\/images\/sha256:([0-9a-f]{64})\/json/.exec(request.url)?.[1]
    if (image && this.mood === 'well') return this.#image(image)
    const id = /\/containers\/([^/]+)\/json$/.exec(request.url)?.[1] ?? ''
    if (typeof this.mood === 'object') return response(this.mood.status, this.mood.body ?? '')
    const [found] = [...this.#containers].filter(([known]) => known.startsWith(id) && !this.forgets)
    const answer = found ? response(200, JSON.stringify(describe(...found))) : response(404, '{"message":"No such"}')
    this.meanwhile()
    return answer
  }

  async stream(request: HttpRequest): Promise<HttpStream> {
    this.requests.push(request)
    await this.#answers(request)
    const head = { headers: {}, [Symbol.dispose]: () => undefined }
    if (typeof this.mood === 'object') return { ...head, status: this.mood.status, body: pieces([]) }
    return { ...head, status: 200, body: this.#listen(request) }
  }

  async #answers({ signal, timeoutMs }: HttpRequest): Promise<void> {
    signal?.throwIfAborted()
    if (this.mood === 'silent') {
      await new Promise<void>((resolve) => {
        const speak = () => resolve()
        this.#silenced.add(speak)
        signal?.addEventListener('abort', speak, { once: true })
      })
      signal?.throwIfAborted()
    }
    if (this.mood === 'away') throw unreachable()
    if (timeoutMs <= 0) throw new HttpError('timeout', 'no time was given')
  }

  async *#listen({ signal }: HttpRequest): AsyncGenerator<Buffer> {
    const queue: string[] = []
    let ended: { error?: unknown } | null = null
    let wake: () => void = () => undefined
    const stream = {
      push: (text: string) => {
        queue.push(text)
        wake()
      },
      end: (error?: unknown) => {
        this.#streams.delete(stream)
        ended = { error }
        wake()
      },
    }
    this.#streams.add(stream)
    const abort = () => stream.end(signal?.reason)
    signal?.addEventListener('abort', abort, { once: true })
    try {
      for (;;) {
        for (const text of queue.splice(0)) yield Buffer.from(text)
        const end = ended as { error?: unknown } | null
        if (end?.error !== undefined) throw end.error
        if (end) return
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    } finally {
      this.#streams.delete(stream)
      signal?.removeEventListener('abort', abort)
    }
  }

  #asked(url: RegExp): number {
    return this.requests.filter((request) => url.test(request.url)).length
  }

  #image(id: string): HttpResponse {
    if (this.imageMood) return response(this.imageMood.status, this.imageMood.body ?? '')
    for (const { traits } of this.#containers.values()) {
      if ((traits.imageId ?? IMAGE) === id) return response(200, JSON.stringify(describeImage(traits)))
    }
    return response(404, '{"message":"No such image"}')
  }

  #speak(): void {
    for (const speak of [...this.#silenced]) speak()
    this.#silenced.clear()
  }

  #of(id: string): FakeContainer {
    const container = this.#containers.get(id)
    if (!container) throw new TypeError(`no container ${id}`)
    return container
  }
}

function unreachable(): HttpError {
  return new HttpError('unreachable', 'there is no such socket', { details: { reason: 'ENOENT' } })
}

function describe(id: string, { traits, pid, status, startedAt }: FakeContainer): unknown {
  return {
    Id: id,
    Name: `/${traits.name ?? 'web-1'}`,
    Image: `sha256:${traits.imageId ?? IMAGE}`,
    ...(traits.platform && { ImageManifestDescriptor: { platform: traits.platform } }),
    Config: { Image: traits.image ?? 'registry.example/web:1.2', Labels: labelsOf(traits) },
    State: { Running: status === 'running', Pid: pid, Status: status, StartedAt: startedAt },
  }
}

function describeImage({ imageId, imageLabels }: ContainerTraits): unknown {
  return { Id: `sha256:${imageId ?? IMAGE}`, Config: { Labels: imageLabels ?? null } }
}

/** As engines merge them: what the container was given wins. */
function labelsOf({ labels, imageLabels }: ContainerTraits): Readonly<Record<string, string>> | null {
  return labels || imageLabels ? { ...imageLabels, ...labels } : null
}

function response(status: number, body: string): HttpResponse {
  return { status, headers: {}, body: Buffer.from(body) }
}

async function* pieces(all: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* all
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { httpsServer, type Listening, newCa } from '../integration/support/https-server.js'
import type { PodObject } from './kubernetes-pods.js'

type Verb = 'list' | 'watch'

interface Change {
  readonly version: number
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: PodObject
}

interface OpenWatch {
  readonly node: string
  readonly bookmarks: boolean
  readonly response: ServerResponse
}

/**
 * A Kubernetes API server as far as pods go, over HTTPS with an authority of its own: lists with versions and pages,
 * watches that go on from a version, bookmarks, a history that is forgotten (410), tokens, rights, and all that goes
 * wrong. It also answers `/pods` as a kubelet does.
 */
export class KubernetesApiDouble implements AsyncDisposable {
  /** Tokens that are accepted. */
  readonly tokens = new Set(['token-1'])
  /** What the service account may do. */
  readonly rights = new Set<Verb>(['list', 'watch'])
  /** Before each answer. */
  latencyMs = 0
  /** Answers with this status while set. */
  failsWith: number | null = null
  /** Objects a page, instead of what the client asks for; a list from the cache has no pages. */
  pageSize: number | null = null
  /** Events are written in pieces of so many bytes. */
  pieceBytes = Number.POSITIVE_INFINITY
  /** Watches are closed after so long, instead of what the client asks for. */
  watchMs: number | null = null
  /** Watches stay open and say nothing: the other end has gone without a word. */
  mute = false
  readonly counts = { list: 0, watch: 0, kubelet: 0 }
  readonly #pods = new Map<string, PodObject>()
  readonly #watches = new Set<OpenWatch>()
  readonly #pages = new Map<string, { readonly version: number; readonly items: readonly PodObject[] }>()
  #history: Change[] = []
  #version = 1_000
  /** Versions below are forgotten. */
  #oldest = 0

  private constructor(
    private readonly listening: Listening,
    readonly caPem: string,
  ) {}

  static async start(): Promise<KubernetesApiDouble> {
    const ca = await newCa('kubernetes')
    const late: { api: KubernetesApiDouble | null } = { api: null }
    const server = await httpsServer(ca, (request, response) => void late.api?.answer(request, response))
    late.api = new KubernetesApiDouble(server, ca.pem)
    return late.api
  }

  get address(): string {
    return this.listening.address
  }

  get watches(): number {
    return this.#watches.size
  }

  /** Adds the pod, or changes it. */
  put(pod: PodObject): void {
    this.#change(this.#pods.has(pod.metadata.uid) ? 'MODIFIED' : 'ADDED', pod)
  }

  remove(uid: string): void {
    const pod = this.#pods.get(uid)
    if (pod) this.#change('DELETED', pod)
  }

  /** Forgets what happened before now: a watch that goes on from there gets 410, and so does a page. */
  compact(): void {
    this.#history = []
    this.#oldest = this.#version
    this.#pages.clear()
  }

  /** Something else in the cluster happens, which pods of no node show; bookmarks tell of it. */
  goOn(versions = 100): void {
    this.#version += versions
  }

  bookmark(): void {
    const object = { kind: 'Pod', apiVersion: 'v1', metadata: { resourceVersion: String(this.#version) } }
    for (const watch of this.#watches) if (watch.bookmarks) this.#send(watch, 'BOOKMARK', object)
  }

  /** Ends all watches as a server does whose time for them is over. */
  closeWatches(): void {
    for (const watch of [...this.#watches]) this.#end(watch)
  }

  /** Cuts all connections. */
  breakConnections(): void {
    for (const watch of [...this.#watches]) {
      this.#watches.delete(watch)
      watch.response.socket?.destroy()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.listening[Symbol.asyncDispose]()
  }

  private async answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (this.latencyMs > 0) await new Promise((resolve) => setTimeout(resolve, this.latencyMs))
    const { pathname, searchParams: query } = new URL(request.url ?? '/', this.address)
    const verb: Verb = query.get('watch') === 'true' ? 'watch' : 'list'
    if (this.failsWith !== null) return refuse(response, this.failsWith, 'InternalError', 'the store is away')
    if (!this.tokens.has((request.headers.authorization ?? '').replace('Bearer ', ''))) {
      return refuse(response, 401, 'Unauthorized', 'Unauthorized')
    }
    if (pathname === '/pods') {
      this.counts.kubelet++
      return reply(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata: {}, items: [...this.#pods.values()] })
    }
    if (pathname !== '/api/v1/pods') return refuse(response, 404, 'NotFound', 'no such resource')
    this.counts[verb]++
    if (!this.rights.has(verb)) return refuse(response, 403, 'Forbidden', `pods is forbidden: cannot ${verb}`)
    const node = /^spec\.nodeName=(.+)$/.exec(query.get('fieldSelector') ?? '')?.[1]
    if (!node) return refuse(response, 400, 'BadRequest', 'this test wants pods of one node only')
    if (verb === 'watch') this.#watch(node, query, response)
    else this.#list(node, query, response)
  }

  #list(node: string, query: URLSearchParams, response: ServerResponse): void {
    const asked = query.get('resourceVersion')
    const next = query.get('continue')
    const [id = '', at = '0'] = next?.split('@') ?? [String(this.#version)]
    const page = next === null ? this.#page(node, id) : this.#pages.get(id)
    if (asked !== null && Number(asked) > this.#version) {
      refuse(response, 504, 'Timeout', `Too large resource version: ${asked}, current: ${this.#version}`)
    } else if (page) {
      // From the cache there are no pages.
      const size = asked !== null || !query.has('limit') ? Number.POSITIVE_INFINITY : this.pageSize
      const until = Number(at) + (size ?? Number(query.get('limit')))
      const more = until < page.items.length && { continue: `${id}@${until}` }
      // Items of a list bear neither kind nor version.
      const items = page.items.slice(Number(at), until).map(({ kind: _k, apiVersion: _v, ...item }) => item)
      const metadata = { resourceVersion: String(page.version), ...more }
      reply(response, 200, { kind: 'PodList', apiVersion: 'v1', metadata, items })
    } else {
      refuse(response, 410, 'Expired', 'The provided continue parameter is too old')
    }
  }

  #page(node: string, id: string) {
    const page = {
      version: this.#version,
      items: [...this.#pods.values()].filter(({ spec }) => spec.nodeName === node),
    }
    this.#pages.set(id, page)
    return page
  }

  #watch(node: string, query: URLSearchParams, response: ServerResponse): void {
    const from = Number(query.get('resourceVersion'))
    response.writeHead(200, { 'content-type': 'application/json' })
    response.flushHeaders()
    const watch = { node, bookmarks: query.get('allowWatchBookmarks') === 'true', response }
    if (from < this.#oldest) {
      const message = `too old resource version: ${from} (${this.#oldest})`
      const status = { kind: 'Status', status: 'Failure', reason: 'Expired', code: 410, message }
      this.#send(watch, 'ERROR', status)
      response.end()
      return
    }
    for (const change of this.#history) if (change.version > from) this.#tell(watch, change)
    this.#watches.add(watch)
    const ms = this.watchMs ?? Number(query.get('timeoutSeconds')) * 1_000
    const timer = setTimeout(() => this.#end(watch), ms)
    response.on('close', () => {
      clearTimeout(timer)
      this.#watches.delete(watch)
    })
  }

  #end(watch: OpenWatch): void {
    this.#watches.delete(watch)
    watch.response.end()
  }

  #change(type: Change['type'], pod: PodObject): void {
    const version = ++this.#version
    const object = { ...pod, metadata: { ...pod.metadata, resourceVersion: String(version) } }
    if (type === 'DELETED') this.#pods.delete(pod.metadata.uid)
    else this.#pods.set(pod.metadata.uid, object)
    const change = { version, type, object }
    this.#history.push(change)
    for (const watch of this.#watches) this.#tell(watch, change)
  }

  #tell(watch: OpenWatch, { type, object }: Change): void {
    if (object.spec.nodeName === watch.node) this.#send(watch, type, object)
  }

  #send({ response }: OpenWatch, type: string, object: object): void {
    if (this.mute) return
    const line = Buffer.from(`${JSON.stringify({ type, object })}\n`)
    for (let at = 0; at < line.length; at += this.pieceBytes) response.write(line.subarray(at, at + this.pieceBytes))
  }
}

function reply(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(JSON.stringify(body))
}

function refuse(response: ServerResponse, code: number, reason: string, message: string): void {
  reply(response, code, { kind: 'Status', apiVersion: 'v1', status: 'Failure', reason, message, code })
}

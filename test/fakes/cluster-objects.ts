import type { ClusterObject, ClusterObjects } from '../../agent/ports/cluster-objects.js'

interface Stored {
  readonly metadata: { readonly resourceVersion: string }
}

/** Objects of a cluster in memory, with versions as the API has them. */
export class FakeClusterObjects implements ClusterObjects {
  readonly #objects = new Map<string, Record<string, unknown> & Stored>()
  #version = 0
  /** `put configmaps/x`, for each request that wrote. */
  readonly written: string[] = []
  /** Thrown, or waited for, before a request is done. */
  before: (verb: 'read' | 'create' | 'replace', path: string, signal: AbortSignal) => Promise<void> = async () =>
    undefined
  served: (version: string) => boolean = () => true

  get(path: string): Record<string, unknown> | null {
    return this.#objects.get(path) ?? null
  }

  /** As an administrator does it. */
  edit(path: string, change: (object: Record<string, unknown>) => object): void {
    this.#store(path, change(structuredClone(this.#objects.get(path) ?? {})))
  }

  delete(path: string): void {
    this.#objects.delete(path)
  }

  async read(request: ClusterObject, signal: AbortSignal): Promise<unknown> {
    await this.before('read', pathOf(request), signal)
    signal.throwIfAborted()
    return structuredClone(this.#objects.get(pathOf(request)) ?? null)
  }

  async create(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean> {
    await this.before('create', pathOf(request), signal)
    signal.throwIfAborted()
    if (this.#objects.has(pathOf(request))) return false
    this.#write(pathOf(request), object)
    return true
  }

  async replace(request: ClusterObject, object: object, signal: AbortSignal): Promise<boolean> {
    await this.before('replace', pathOf(request), signal)
    signal.throwIfAborted()
    const held = this.#objects.get(pathOf(request))
    if (held?.metadata.resourceVersion !== (object as Stored).metadata.resourceVersion) return false
    this.#write(pathOf(request), object)
    return true
  }

  async serves(_group: string, version: string): Promise<boolean> {
    return this.served(version)
  }

  #write(path: string, object: object): void {
    this.#store(path, object)
    this.written.push(path)
  }

  #store(path: string, object: object): void {
    const { metadata, ...rest } = structuredClone(object) as Partial<Stored>
    this.#objects.set(path, { ...rest, metadata: { ...metadata, resourceVersion: String(++this.#version) } })
  }
}

function pathOf({ collection, name }: ClusterObject): string {
  return `${collection}/${name}`
}

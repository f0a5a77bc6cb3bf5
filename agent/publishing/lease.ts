import * as z from 'zod'
import { LinkedAbort, onAbort } from '../lib/abort.js'
import type { Clock } from '../ports/clock.js'
import type { ClusterObject, ClusterObjects } from '../ports/cluster-objects.js'
import { readable } from './objects.js'

/** How long after the last renewal another process may take the lease. */
export const LEASE_MS = 30_000
/** How long after requesting a renewal the holder may write; shorter than `LEASE_MS`. */
export const RENEW_DEADLINE_MS = 20_000
/** Limit of the duration that a foreign holder may have set. */
const MAX_SECONDS = 3_600

export interface LeaseOptions {
  readonly objects: Pick<ClusterObjects, 'read' | 'create' | 'replace'>
  readonly clock: Clock
  readonly namespace: string
  readonly name: string
  /** Unique to this process. */
  readonly holder: string
}

const record = z.object({
  metadata: z.looseObject({ resourceVersion: z.string() }),
  spec: z
    .looseObject({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.number().nullish(),
      acquireTime: z.string().nullish(),
      leaseTransitions: z.number().nullish(),
    })
    .nullish(),
})

/**
 * A Lease of coordination.k8s.io/v1, which makes one of several processes the writer. Clocks of machines differ, so the
 * times in it are ignored: a waiting process counts from when it saw the lease change, and the holder from before it
 * requested the renewal, both on the monotonic clock.
 */
export class Lease {
  readonly #request: ClusterObject
  #seen: { readonly version: string; readonly at: number } | null = null
  #term: { readonly abort: AbortController; readonly end: Disposable; readonly until: number } | null = null
  #holder = ''

  constructor(private readonly options: LeaseOptions) {
    const { namespace, name } = options
    this.#request = {
      collection: `/apis/coordination.k8s.io/v1/namespaces/${namespace}/leases`,
      name,
      what: `leases/${name} of coordination.k8s.io in the namespace ${namespace}`,
    }
  }

  /** Whether this process may write now. */
  get held(): boolean {
    return this.#term !== null && this.options.clock.monotonic() < this.#term.until
  }

  /** The holder at the last read; empty: none. */
  get holder(): string {
    return this.#holder
  }

  /** Runs the work with a signal that aborts as soon as this process may no longer write. */
  async whileHeld<T>(signal: AbortSignal, work: (limited: AbortSignal) => Promise<T>): Promise<T | null> {
    const term = this.#term
    if (!this.held || !term) return null
    using limited = new LinkedAbort(signal)
    using _lost = onAbort(term.abort.signal, () => limited.abort(term.abort.signal.reason))
    try {
      return await work(limited.signal)
    } catch (error) {
      if (term.abort.signal.aborted && !signal.aborted) return null
      throw error
    }
  }

  /** Takes or renews the lease, or sees that another process holds it. Throws the errors of the API. */
  async turn(signal: AbortSignal): Promise<void> {
    const { objects, clock, holder } = this.options
    const asked = clock.monotonic()
    const found = await objects.read(this.#request, signal)
    if (found === null) {
      this.#seen = null
      if (await objects.create(this.#request, this.#fresh(), signal)) this.#granted(asked)
      return
    }
    const { metadata, spec } = readable(record, found, this.#request.what)
    if (this.#seen?.version !== metadata.resourceVersion) {
      this.#seen = { version: metadata.resourceVersion, at: clock.monotonic() }
    }
    this.#holder = spec?.holderIdentity ?? ''
    const mine = this.#holder === holder
    if (!mine) this.#lost()
    const seconds = Math.min(spec?.leaseDurationSeconds ?? LEASE_MS / 1000, MAX_SECONDS)
    if (!mine && this.#holder !== '' && clock.monotonic() < this.#seen.at + seconds * 1000) return
    const now = this.#time()
    const renewed = {
      ...(found as object),
      spec: {
        ...spec,
        holderIdentity: holder,
        leaseDurationSeconds: LEASE_MS / 1000,
        acquireTime: mine ? (spec?.acquireTime ?? now) : now,
        renewTime: now,
        leaseTransitions: (spec?.leaseTransitions ?? 0) + (mine ? 0 : 1),
      },
    }
    if (await objects.replace(this.#request, renewed, signal)) this.#granted(asked)
  }

  /** Releases the lease, so that another process can take it at once. */
  async release(signal: AbortSignal): Promise<void> {
    const { objects, holder } = this.options
    if (!this.held) return
    this.#lost()
    const found = await objects.read(this.#request, signal)
    const { data } = record.safeParse(found)
    if (data?.spec?.holderIdentity !== holder) return
    const spec = { ...data.spec, holderIdentity: '', leaseDurationSeconds: 1, renewTime: this.#time() }
    await objects.replace(this.#request, { ...(found as object), spec }, signal)
  }

  #granted(asked: number): void {
    const { clock, holder } = this.options
    this.#holder = holder
    const abort = this.#term?.abort ?? new AbortController()
    this.#term?.end[Symbol.dispose]()
    const until = asked + RENEW_DEADLINE_MS
    const end = clock.after(Math.max(0, until - clock.monotonic()), () => this.#lost())
    this.#term = { abort, end, until }
  }

  #lost(): void {
    const term = this.#term
    this.#term = null
    term?.end[Symbol.dispose]()
    term?.abort.abort()
  }

  #fresh(): object {
    const { namespace, name, holder } = this.options
    const now = this.#time()
    return {
      apiVersion: 'coordination.k8s.io/v1',
      kind: 'Lease',
      metadata: { name, namespace },
      spec: {
        holderIdentity: holder,
        leaseDurationSeconds: LEASE_MS / 1000,
        acquireTime: now,
        renewTime: now,
        leaseTransitions: 0,
      },
    }
  }

  /** `MicroTime`, for people. */
  #time(): string {
    return new Date(this.options.clock.now()).toISOString().replace('Z', '000Z')
  }
}

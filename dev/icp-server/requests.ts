/** One request to the server. */
export interface RequestRecord {
  /** Milliseconds since 1970. */
  readonly at: number
  readonly method: string
  /** The route's pattern, such as `/bundle/:id`; the path if no route matches. */
  readonly endpoint: string
  readonly path: string
  /** Null: the connection was dropped without an answer. */
  readonly status: number | null
  readonly ip: string
  /** SPIFFE ID of the verified client certificate, if the endpoint checked one. */
  readonly client: string | null
  /** The `X-Tenant-ID` header. */
  readonly account: string | null
  /** Kinds of its faults. */
  readonly faults: readonly string[]
  /** Why it was refused, if the answer does not contain it. */
  readonly reason: string | null
}

export interface RequestFilter {
  readonly method?: string
  readonly endpoint?: string
  readonly status?: number | null
}

const KEPT = 10_000

/** The last 10,000 requests, and the number of requests of each endpoint since the start. */
export class RequestLog {
  readonly #records: RequestRecord[] = []
  readonly #counts = new Map<string, { readonly filter: Required<RequestFilter>; count: number }>()

  constructor(private readonly onAdd: (record: RequestRecord) => void = () => undefined) {}

  /** Oldest first. */
  list(filter: RequestFilter = {}): RequestRecord[] {
    return this.#records.filter((record) => passes(record, filter))
  }

  /** Counts all since the start (or the last `clear`), not only those kept. */
  count(filter: RequestFilter = {}): number {
    let sum = 0
    for (const each of this.#counts.values()) if (passes(each.filter, filter)) sum += each.count
    return sum
  }

  /** Counts by `METHOD endpoint`. */
  counts(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const { filter, count } of this.#counts.values()) {
      const key = `${filter.method} ${filter.endpoint}`
      counts[key] = (counts[key] ?? 0) + count
    }
    return counts
  }

  clear(): void {
    this.#records.length = 0
    this.#counts.clear()
  }

  add(record: RequestRecord): void {
    this.#records.push(record)
    // From time to time, because a shift per request would move the whole list.
    if (this.#records.length > 2 * KEPT) this.#records.splice(0, this.#records.length - KEPT)
    const { method, endpoint, status } = record
    const key = `${method} ${endpoint} ${status}`
    const known = this.#counts.get(key)
    if (known) known.count++
    else this.#counts.set(key, { filter: { method, endpoint, status }, count: 1 })
    this.onAdd(record)
  }
}

function passes(value: Required<RequestFilter>, filter: RequestFilter): boolean {
  return (
    (filter.method === undefined || filter.method === value.method) &&
    (filter.endpoint === undefined || filter.endpoint === value.endpoint) &&
    (filter.status === undefined || filter.status === value.status)
  )
}

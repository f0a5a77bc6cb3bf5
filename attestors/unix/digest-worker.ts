/** What a digest worker is asked. */
export interface DigestRequest {
  readonly id: number
  /** Opens the executable itself, not a path that may name something else. */
  readonly path: string
  /** `container:ID` or `uid:N`: files are read in turn by subject. */
  readonly subject: string
}

/** Or told to let go of: nobody waits for it any more, or another's turn has come. */
export type DigestOrder = DigestRequest | { readonly drop: number }

/** What it answers, once to each request. `device` and `inode` are those of the file that was read. */
export type DigestAnswer =
  | {
      readonly id: number
      readonly kind: 'digest'
      readonly sha256: string
      readonly device: bigint
      readonly inode: bigint
    }
  | { readonly id: number; readonly kind: 'too_large'; readonly size: bigint }
  | { readonly id: number; readonly kind: 'unreadable'; readonly reason: string }
  | { readonly id: number; readonly kind: 'dropped' }

export interface DigestWorkerData {
  /** [0] counts steps, [1] is the id of the request that is worked on now, or 0: who is stuck shows here. */
  readonly progress: SharedArrayBuffer
  readonly maxBytes: number
  readonly cacheSize: number
}

/**
 * The program of the digest worker: reads files synchronously, a piece at a time and in turn by subject, so that a large or
 * slow one does not keep the others waiting. Self-contained, because its source is evaluated in the worker: that works from
 * TypeScript, from the build and from a single executable alike.
 */
export function digestWorker(): void {
  interface Job {
    /** The requests that it answers; never none. */
    readonly ids: number[]
    readonly subject: string
    readonly fd: number
    readonly key: string
    readonly stat: import('node:fs').BigIntStats
    readonly hash: import('node:crypto').Hash
    left: bigint
  }
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { openSync, fstatSync, readSync, closeSync, constants } = process.getBuiltinModule('node:fs')
  const { createHash } = process.getBuiltinModule('node:crypto')
  const { progress, maxBytes, cacheSize }: DigestWorkerData = workerData
  const steps = new Int32Array(progress)
  const chunk = Buffer.allocUnsafe(262_144)
  /** In the order of their last use. */
  const cache = new Map<string, string>()
  const orders: DigestOrder[] = []
  /** Files that are open, in the order of their turns. */
  const jobs: Job[] = []
  let scheduled = false

  const answer = (message: DigestAnswer): void => parentPort?.postMessage(message)
  const keyOf = ({ dev, ino, size, mtimeNs, ctimeNs }: Job['stat']): string =>
    `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  const failed = (id: number, error: unknown): void => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    answer({ id, kind: 'unreadable', reason: code })
  }
  const found = (id: number, stat: Job['stat'], key: string, sha256: string): void => {
    cache.delete(key)
    cache.set(key, sha256)
    const [oldest] = cache.keys()
    if (oldest !== undefined && cache.size > cacheSize) cache.delete(oldest)
    answer({ id, kind: 'digest', sha256, device: stat.dev, inode: stat.ino })
  }

  /** Opens one file, unless its digest is known. What others had open already is hashed once for all. */
  const begin = ({ id, path, subject }: DigestRequest): void => {
    let fd: number | undefined
    let keep = false
    try {
      fd = openSync(path, constants.O_RDONLY | constants.O_NOCTTY)
      const stat = fstatSync(fd, { bigint: true })
      const key = keyOf(stat)
      const known = cache.get(key)
      const leader = jobs.find((job) => job.key === key)
      if (!stat.isFile()) answer({ id, kind: 'unreadable', reason: 'not a regular file' })
      else if (stat.size > BigInt(maxBytes)) answer({ id, kind: 'too_large', size: stat.size })
      else if (known !== undefined) found(id, stat, key, known)
      else if (leader) leader.ids.push(id)
      else {
        jobs.push({ ids: [id], subject, fd, key, stat, hash: createHash('sha256'), left: stat.size })
        keep = true
      }
    } catch (error) {
      failed(id, error)
    } finally {
      if (fd !== undefined && !keep) closeSync(fd)
    }
  }

  /** Reads the next chunk; true when the file has come to its end. */
  const advance = (job: Job): boolean => {
    const { ids } = job
    let done = true
    try {
      const length = readSync(job.fd, chunk, 0, chunk.length, null)
      job.hash.update(chunk.subarray(0, length))
      job.left -= BigInt(length)
      // A file system may hand out more than it said there is, without end.
      done = length === 0 || job.left < 0n
      if (!done) return false
      const sha256 = job.hash.digest('hex')
      // Written to while it was read: the digest is of no file that ever was.
      const steady = job.left === 0n && keyOf(fstatSync(job.fd, { bigint: true })) === job.key
      if (steady) for (const id of ids) found(id, job.stat, job.key, sha256)
      else for (const id of ids) answer({ id, kind: 'unreadable', reason: 'changed while it was read' })
    } catch (error) {
      for (const id of ids) failed(id, error)
    } finally {
      if (done) closeSync(job.fd)
    }
    return true
  }

  /** Forgets a request, and closes the file unless others wait for it too. */
  const drop = (id: number): void => {
    const job = jobs.find(({ ids }) => ids.includes(id))
    if (!job) return
    job.ids.splice(job.ids.indexOf(id), 1)
    if (job.ids.length === 0) {
      jobs.splice(jobs.indexOf(job), 1)
      closeSync(job.fd)
    }
    answer({ id, kind: 'dropped' })
  }

  /** The first one goes on; its subject's others go behind everybody else's. */
  const turn = (): Job | undefined => {
    const [first] = jobs
    if (!first) return undefined
    const others = jobs.splice(0).filter((job) => job !== first)
    jobs.push(
      ...others.filter(({ subject }) => subject !== first.subject),
      ...others.filter(({ subject }) => subject === first.subject),
    )
    return first
  }

  const step = (): void => {
    const order = orders.shift()
    const job = order ? undefined : turn()
    // Opening and closing may hang as well as reading.
    Atomics.store(steps, 1, (order ? ('drop' in order ? order.drop : order.id) : job?.ids[0]) ?? 0)
    Atomics.add(steps, 0, 1)
    if (order && 'drop' in order) drop(order.drop)
    else if (order) begin(order)
    else if (job && !advance(job)) jobs.push(job)
    Atomics.store(steps, 1, 0)
    scheduled = orders.length > 0 || jobs.length > 0
    if (scheduled) setImmediate(step)
  }

  parentPort?.on('message', (order: DigestOrder) => {
    orders.push(order)
    if (!scheduled) setImmediate(step)
    scheduled = true
  })
}

/** The source of the worker. Bundlers that keep names wrap functions in a helper that does not exist there. */
export function digestWorkerSource(): string {
  return `const __name = (target) => target; (${digestWorker.toString()})()`
}

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

/** The answer to a request. `device` and `inode` are those of the file that was read. */
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
  /** Not the last one: another mebibyte of the file was read, and there is more. */
  | { readonly id: number; readonly kind: 'reading' }

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
  /** What was hashed of a file, and how much of it is left. */
  interface Hashed {
    readonly hash: import('node:crypto').Hash
    left: bigint
  }
  interface Job extends Hashed {
    /** The requests that it answers; never none. */
    readonly askers: DigestRequest[]
    readonly fd: number
    readonly key: string
    readonly stat: import('node:fs').BigIntStats
    /** Pieces that were read since it was opened. */
    pieces: number
  }
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { openSync, fstatSync, readSync, closeSync, constants } = process.getBuiltinModule('node:fs')
  const { createHash } = process.getBuiltinModule('node:crypto')
  const { progress, maxBytes, cacheSize }: DigestWorkerData = workerData
  const steps = new Int32Array(progress)
  const piece = Buffer.allocUnsafe(262_144)
  const piecesOfTurn = 4
  /** In the order of their last use. */
  const cache = new Map<string, string>()
  /** Of files that were let go of before their end: who asks for one again goes on from there. */
  const begun = new Map<string, Hashed>()
  const orders: DigestOrder[] = []
  /** Files that are open; what was read last comes last. */
  const jobs: Job[] = []
  /** Who asked for them, in the order of their turns. */
  const turns = new Set<string>()
  let scheduled = false

  const answer = (message: DigestAnswer): void => parentPort?.postMessage(message)
  const keyOf = ({ dev, ino, size, mtimeNs, ctimeNs }: Job['stat']): string =>
    `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`
  /** Remembers a value as the last one used, and of ever so many not the first. */
  const remember = <T>(values: Map<string, T>, key: string, value: T): void => {
    values.delete(key)
    values.set(key, value)
    const [oldest] = values.keys()
    if (oldest !== undefined && values.size > cacheSize) values.delete(oldest)
  }
  const failed = (id: number, error: unknown): DigestAnswer => {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
    return { id, kind: 'unreadable', reason: code }
  }
  const found = (id: number, stat: Job['stat'], key: string, sha256: string): DigestAnswer => {
    remember(cache, key, sha256)
    return { id, kind: 'digest', sha256, device: stat.dev, inode: stat.ino }
  }
  /** Closing may hang like all else, so each request is answered after it: until then it shows who hangs. */
  const close = (fd: number): void => {
    try {
      closeSync(fd)
    } catch {
      // Nothing was written: what a file system says at the end takes back nothing of what was read.
    }
  }

  /** What is to be said of a file at once; null when it will be read. What is open already is hashed once for all. */
  const opened = (fd: number, request: DigestRequest): DigestAnswer | null => {
    const { id, subject } = request
    const stat = fstatSync(fd, { bigint: true })
    if (!stat.isFile()) return { id, kind: 'unreadable', reason: 'not a regular file' }
    if (stat.size > BigInt(maxBytes)) return { id, kind: 'too_large', size: stat.size }
    const key = keyOf(stat)
    const known = cache.get(key)
    if (known !== undefined) return found(id, stat, key, known)
    turns.add(subject)
    const other = jobs.find((job) => job.key === key)
    if (other) {
      other.askers.push(request)
      return null
    }
    const hashed = begun.get(key) ?? { hash: createHash('sha256'), left: stat.size }
    begun.delete(key)
    jobs.push({ ...hashed, askers: [request], fd, key, stat, pieces: 0 })
    return null
  }

  /** Opens one file. */
  const begin = (request: DigestRequest): void => {
    let fd: number | undefined
    let reply: DigestAnswer | null
    try {
      fd = openSync(request.path, constants.O_RDONLY | constants.O_NOCTTY)
      reply = opened(fd, request)
    } catch (error) {
      reply = failed(request.id, error)
    }
    if (fd !== undefined && !jobs.some((job) => job.fd === fd)) close(fd)
    if (reply) answer(reply)
  }

  /** Reads the next piece; null when there may be more, else what is to be said to those who asked. */
  const read = (job: Job): DigestAnswer[] | null => {
    const { askers, fd, hash, key, stat } = job
    try {
      const length = readSync(fd, piece, 0, piece.length, stat.size - job.left)
      hash.update(piece.subarray(0, length))
      job.left -= BigInt(length)
      // A file system may hand out more than it said there is, without end.
      if (length > 0 && job.left >= 0n) return null
      const sha256 = hash.digest('hex')
      // Written to while it was read: the digest is of no file that ever was.
      const steady = job.left === 0n && keyOf(fstatSync(fd, { bigint: true })) === key
      if (steady) return askers.map(({ id }) => found(id, stat, key, sha256))
      return askers.map(({ id }) => ({ id, kind: 'unreadable', reason: 'changed while it was read' }))
    } catch (error) {
      return askers.map(({ id }) => failed(id, error))
    }
  }

  const advance = (job: Job): void => {
    const replies = read(job)
    if (replies) {
      close(job.fd)
      for (const reply of replies) answer(reply)
      return
    }
    jobs.push(job)
    if (++job.pieces % piecesOfTurn > 0 || job.left === 0n) return
    // One of them at a time: as many places may change hands as mebibytes are read.
    const asker = job.askers.shift()
    if (!asker) return
    job.askers.push(asker)
    answer({ id: asker.id, kind: 'reading' })
  }

  /** Forgets a request, and closes the file unless others wait for it too. */
  const drop = (id: number): void => {
    const job = jobs.find(({ askers }) => askers.some((asker) => asker.id === id))
    if (!job) return
    job.askers.splice(0, job.askers.length, ...job.askers.filter((asker) => asker.id !== id))
    if (job.askers.length === 0) {
      jobs.splice(jobs.indexOf(job), 1)
      remember(begun, job.key, { hash: job.hash, left: job.left })
      close(job.fd)
    }
    answer({ id, kind: 'dropped' })
  }

  /**
   * Of those who asked for files, each has a turn, in which the one of his files is read on that was not for longest.
   * What several asked for is read in the turns of each: it matters to nobody who asked first, and what else they ask for.
   */
  const turn = (): Job | undefined => {
    for (const subject of turns) {
      turns.delete(subject)
      const at = jobs.findIndex(({ askers }) => askers.some((asker) => asker.subject === subject))
      if (at < 0) continue
      turns.add(subject)
      return jobs.splice(at, 1)[0]
    }
    return undefined
  }

  const step = (): void => {
    const order = orders.shift()
    const job = order ? undefined : turn()
    // Opening and closing may hang as well as reading.
    Atomics.store(steps, 1, (order ? ('drop' in order ? order.drop : order.id) : job?.askers[0]?.id) ?? 0)
    Atomics.add(steps, 0, 1)
    if (order && 'drop' in order) drop(order.drop)
    else if (order) begin(order)
    else if (job) advance(job)
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

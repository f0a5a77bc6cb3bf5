/** An order to a digest worker: continue reading a file, for at most `pieces` pieces. */
export interface DigestOrder {
  /** Never 0. */
  readonly id: number
  /** A path that opens the executable itself, not a name that may be replaced. */
  readonly path: string
  /** The key of the last answer `more`; null at first. */
  readonly key: string | null
  readonly pieces: number
}

/** The answer to an order, after the file is closed. `device` and `inode` are those of the file that was read. */
export type DigestAnswer = { readonly id: number } & (
  | { readonly kind: 'digest'; readonly sha256: string; readonly device: bigint; readonly inode: bigint }
  | { readonly kind: 'too_large'; readonly size: bigint }
  | { readonly kind: 'unreadable'; readonly reason: string }
  /** The file is not complete; the next order continues. `key`: the version of the file. */
  | { readonly kind: 'more'; readonly key: string }
)

export interface DigestWorkerData {
  /** [0] counts steps, [1] is the id of the present order, or 0; they show whether the worker is stuck. */
  readonly progress: SharedArrayBuffer
  readonly maxBytes: number
  /** Limit of cached digests, and of partially read files. */
  readonly cacheSize: number
}

/**
 * The program of the digest worker. No file is open between two orders: a partially read file is recognised by its fstat
 * (device, inode, size, times) and continued. Self-contained, because its source is evaluated in the worker, which works
 * from TypeScript, from the build and from a single executable.
 */
export function digestWorker(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { openSync, fstatSync, readSync, closeSync, constants } = process.getBuiltinModule('node:fs')
  const { createHash } = process.getBuiltinModule('node:crypto')
  const { progress, maxBytes, cacheSize }: DigestWorkerData = workerData
  const steps = new Int32Array(progress)
  const piece = Buffer.allocUnsafe(262_144)
  /** Both in the order of their last use. */
  const digests = new Map<string, string>()
  const begun = new Map<string, { readonly hash: import('node:crypto').Hash; at: bigint }>()

  const remember = <T>(values: Map<string, T>, key: string, value: T): void => {
    values.delete(key)
    values.set(key, value)
    const [oldest] = values.keys()
    if (oldest !== undefined && values.size > cacheSize) values.delete(oldest)
  }
  const keyOf = ({ dev, ino, size, mtimeNs, ctimeNs }: import('node:fs').BigIntStats): string =>
    `${dev}:${ino}:${size}:${mtimeNs}:${ctimeNs}`

  /**
   * Reads through one descriptor, with fstat before and after, to detect writes during the read.
   */
  const read = (fd: number, { id, key: before, pieces }: DigestOrder): DigestAnswer => {
    const stat = fstatSync(fd, { bigint: true })
    if (!stat.isFile()) return { id, kind: 'unreadable', reason: 'not a regular file' }
    if (stat.size > BigInt(maxBytes)) return { id, kind: 'too_large', size: stat.size }
    const key = keyOf(stat)
    const changed: DigestAnswer = { id, kind: 'unreadable', reason: 'changed while it was read' }
    if (before !== null && before !== key) return changed
    const known = digests.get(key)
    const done = (sha256: string): DigestAnswer => {
      remember(digests, key, sha256)
      return { id, kind: 'digest', sha256, device: stat.dev, inode: stat.ino }
    }
    if (known !== undefined) return done(known)
    const file = begun.get(key) ?? { hash: createHash('sha256'), at: 0n }
    begun.delete(key)
    let left = pieces
    for (; left > 0; left--) {
      Atomics.add(steps, 0, 1)
      const length = readSync(fd, piece, 0, piece.length, file.at)
      file.hash.update(piece.subarray(0, length))
      file.at += BigInt(length)
      // A file system may return more than its stated size, without end.
      if (length === 0 || file.at > stat.size) break
    }
    const steady = keyOf(fstatSync(fd, { bigint: true })) === key
    if (!steady || file.at > stat.size) return changed
    if (left > 0) return file.at === stat.size ? done(file.hash.digest('hex')) : changed
    remember(begun, key, file)
    return { id, kind: 'more', key }
  }

  const answer = (order: DigestOrder): DigestAnswer => {
    let fd: number | undefined
    try {
      fd = openSync(order.path, constants.O_RDONLY | constants.O_NOCTTY)
      return read(fd, order)
    } catch (error) {
      const reason = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'
      return { id: order.id, kind: 'unreadable', reason }
    } finally {
      try {
        if (fd !== undefined) closeSync(fd)
      } catch {
        // An error of close does not matter, because nothing was written.
      }
    }
  }

  parentPort?.on('message', (order: DigestOrder) => {
    // Opening and closing may hang as well as reading.
    Atomics.store(steps, 1, order.id)
    Atomics.add(steps, 0, 1)
    const said = answer(order)
    Atomics.store(steps, 1, 0)
    parentPort.postMessage(said)
  })
}

/** The source of the worker. Bundlers that keep names wrap functions in a helper that does not exist there. */
export function digestWorkerSource(): string {
  return `const __name = (target) => target; (${digestWorker.toString()})()`
}

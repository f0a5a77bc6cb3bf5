/** The order to a digest worker: read on in one file, for at most so many pieces. */
export interface DigestOrder {
  /** Never 0. */
  readonly id: number
  /** Opens the executable itself, not a path that may name something else. */
  readonly path: string
  /** What the last answer `more` said; null at first. */
  readonly key: string | null
  readonly pieces: number
}

/** The answer to an order, once the file is closed again. `device` and `inode` are those of the file that was read. */
export type DigestAnswer = { readonly id: number } & (
  | { readonly kind: 'digest'; readonly sha256: string; readonly device: bigint; readonly inode: bigint }
  | { readonly kind: 'too_large'; readonly size: bigint }
  | { readonly kind: 'unreadable'; readonly reason: string }
  /** There is more: the next order for this file reads on from there. `key`: which version of the file it is. */
  | { readonly kind: 'more'; readonly key: string }
)

export interface DigestWorkerData {
  /** [0] counts steps, [1] is the id of the order that is worked on now, or 0: who is stuck shows here. */
  readonly progress: SharedArrayBuffer
  readonly maxBytes: number
  /** So many digests are remembered, and so many files that were begun. */
  readonly cacheSize: number
}

/**
 * The program of the digest worker. Between two orders nothing is open: a file is known again by what fstat says of it
 * (device, inode, size, times), whoever asks for it, and is read on from where it was left. Self-contained, because its
 * source is evaluated in the worker: that works from TypeScript, from the build and from a single executable alike.
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
   * One descriptor, with fstat before and after: what was written to meanwhile is a digest of no file that ever was.
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
      // A file system may hand out more than it said there is, without end.
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
        // Nothing was written: what a file system says at the end takes back nothing of what was read.
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

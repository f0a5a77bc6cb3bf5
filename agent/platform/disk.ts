import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { lstat, open, readdir, rename, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { AgentError } from '../errors.js'
import type { Files } from '../ports/files.js'
import { ensureDirectory, faultOfOwner, type Self, self, UNSYNCABLE } from './directory.js'
import { identityOf } from './file-identity.js'
import { errnoOf, ioError } from './io-error.js'

/** The used part of node:fs/promises, so that tests can make it fail. */
export interface DiskCalls {
  open(path: string, flags: number, mode?: number): Promise<DiskHandle>
  rename(from: string, to: string): Promise<void>
  unlink(path: string): Promise<void>
  readdir(path: string): Promise<string[]>
  lstat(path: string): Promise<DiskStat>
}

/** The used part of a FileHandle. */
export interface DiskHandle {
  stat(): Promise<DiskStat>
  read(into: Buffer, offset: number, length: number): Promise<{ readonly bytesRead: number }>
  writeFile(content: Uint8Array): Promise<void>
  sync(): Promise<void>
  chmod(mode: number): Promise<void>
  close(): Promise<void>
}

interface DiskStat {
  readonly dev: number
  readonly ino: number
  readonly uid: number
  readonly mode: number
  readonly size: number
  readonly mtimeMs: number
  isFile(): boolean
  isDirectory(): boolean
}

const { O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = constants
/** Names of temporary files; leftovers of killed processes are removed after a while. */
const TEMPORARY = /^\..+\.[0-9a-f]{16}\.tmp$/
const STALE_MS = 10 * 60_000
const CHUNK_BYTES = 64 * 1024

/** The real disk. */
export class Disk implements Files {
  readonly #calls: DiskCalls
  readonly #self: Self
  readonly #swept = new Set<string>()

  constructor(calls: DiskCalls = { open, rename, unlink, readdir, lstat }, user: Self = self()) {
    this.#calls = calls
    this.#self = user
  }

  /**
   * `file.unsafe` for anything but a regular file; with `own` also for a symlink, and for a file that belongs to another
   * user or that others can write to. `file.too_large` above `maxBytes`, without reading more than that.
   */
  async read(path: string, options: { maxBytes: number; own?: boolean }): Promise<Buffer | null> {
    // O_NONBLOCK: opening a FIFO must not wait for a writer. It has no effect on a regular file.
    const flags = O_RDONLY | O_NONBLOCK | (options.own === true ? O_NOFOLLOW : 0)
    let handle: DiskHandle
    try {
      handle = await this.#calls.open(path, flags)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return null
      if (errnoOf(error) === 'ELOOP') throw unsafe(path, 'it is a symlink, or part of a loop of symlinks')
      throw ioError('read', path, error)
    }
    try {
      const stat = await handle.stat()
      if (!stat.isFile()) throw unsafe(path, stat.isDirectory() ? 'it is a directory' : 'it is not a regular file')
      if (options.own === true) this.#checkOwn(path, stat)
      if (stat.size > options.maxBytes) throw tooLarge(path, options.maxBytes)
      return await readAtMost(handle, path, stat.size, options.maxBytes)
    } catch (error) {
      throw ioError('read', path, error)
    } finally {
      await handle.close()
    }
  }

  async writeAtomically(path: string, content: Uint8Array, mode = 0o600): Promise<void> {
    const directory = dirname(path)
    await this.#sweep(directory)
    const temporary = join(directory, `.${basename(path).slice(0, 200)}.${randomBytes(8).toString('hex')}.tmp`)
    try {
      const handle = await this.#calls.open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
      try {
        await handle.writeFile(content)
        await handle.chmod(mode)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await this.#calls.rename(temporary, path)
    } catch (error) {
      await this.#discard(temporary)
      throw ioError('write', path, error)
    }
    await this.#syncDirectory(directory)
  }

  async makeDirectory(path: string, mode: number, options: { readonly alone?: boolean } = {}): Promise<void> {
    ensureDirectory(path, mode, this.#self, options)
  }

  async identity(path: string): Promise<string | null> {
    try {
      return identityOf(await this.#calls.lstat(path))
    } catch (error) {
      if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return null
      throw ioError('stat', path, error)
    }
  }

  /** Sorted; files that are still being written are left out. */
  async list(path: string): Promise<readonly string[]> {
    try {
      return (await this.#calls.readdir(path)).filter((name) => !TEMPORARY.test(name)).sort()
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return []
      throw ioError('list', path, error)
    }
  }

  async rename(from: string, to: string): Promise<void> {
    try {
      await this.#calls.rename(from, to)
    } catch (error) {
      throw ioError(`rename to ${to}`, from, error)
    }
    await this.#syncDirectory(dirname(to))
  }

  async remove(path: string): Promise<void> {
    try {
      await this.#calls.unlink(path)
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT') throw ioError('remove', path, error)
    }
  }

  #checkOwn(path: string, stat: { uid: number; mode: number }): void {
    const foreign = faultOfOwner(stat, this.#self)
    if (foreign !== null) throw unsafe(path, foreign)
    if ((stat.mode & 0o022) !== 0) {
      throw unsafe(path, `others can write to it (mode ${(stat.mode & 0o7777).toString(8)}); chmod go-w it`)
    }
  }

  async #syncDirectory(path: string): Promise<void> {
    try {
      const handle = await this.#calls.open(path, O_RDONLY | O_DIRECTORY)
      try {
        await handle.sync()
      } finally {
        await handle.close()
      }
    } catch (error) {
      if (!UNSYNCABLE.has(errnoOf(error) ?? '')) throw ioError('sync the directory', path, error)
    }
  }

  /** Once for each directory: removes temporary files of killed processes. */
  async #sweep(directory: string): Promise<void> {
    if (this.#swept.has(directory)) return
    this.#swept.add(directory)
    try {
      for (const name of (await this.#calls.readdir(directory)).filter((name) => TEMPORARY.test(name))) {
        const path = join(directory, name)
        const stat = await this.#calls.lstat(path)
        const mine = stat.isFile() && stat.uid === this.#self.uid
        if (mine && Date.now() - stat.mtimeMs > STALE_MS) await this.#calls.unlink(path)
      }
    } catch (error) {
      // Leftovers are harmless; the write that follows reports problems of the directory.
      if (errnoOf(error) === null) throw error
    }
  }

  async #discard(temporary: string): Promise<void> {
    try {
      await this.#calls.unlink(temporary)
    } catch (error) {
      // The first error is the one to report; a later sweep removes the file.
      if (errnoOf(error) === null) throw error
    }
  }
}

async function readAtMost(handle: DiskHandle, path: string, size: number, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let total = 0
  for (;;) {
    // One byte more than expected, so that the end of the file is seen without reading another full chunk.
    const room = total < size ? size - total + 1 : CHUNK_BYTES
    const chunk = Buffer.alloc(Math.min(room, maxBytes - total + 1))
    const { bytesRead } = await handle.read(chunk, 0, chunk.length)
    if (bytesRead === 0) return chunks.length === 1 && chunks[0] ? chunks[0] : Buffer.concat(chunks)
    total += bytesRead
    if (total > maxBytes) throw tooLarge(path, maxBytes)
    chunks.push(chunk.subarray(0, bytesRead))
  }
}

function unsafe(path: string, reason: string): AgentError {
  return new AgentError('file.unsafe', `refusing ${path}: ${reason}`, { details: { path } })
}

function tooLarge(path: string, maxBytes: number): AgentError {
  return new AgentError('file.too_large', `refusing ${path}: it is larger than ${maxBytes} bytes`, {
    details: { path, maxBytes },
  })
}

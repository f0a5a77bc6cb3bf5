import { lstat, mkdtemp, open, readdir, rename, rm, unlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Disk, type DiskCalls, type DiskHandle } from '../../agent/platform/disk.js'
import type { Files } from '../../agent/ports/files.js'

/** The system calls that can be made to fail. `write` leaves half of the content behind, as a full disk does. */
export type FaultyCall =
  | 'open'
  | 'rename'
  | 'unlink'
  | 'readdir'
  | 'lstat'
  | 'stat'
  | 'read'
  | 'write'
  | 'sync'
  | 'chmod'

export interface FaultOptions {
  /** Only paths that match. What is written is written to `.NAME.<16 hex digits>.tmp` beside its target. */
  readonly path?: RegExp
  /** How many calls fail; without it all do until the fault is disposed. */
  readonly times?: number
}

interface Fault extends FaultOptions {
  readonly call: FaultyCall
  readonly errno: string
  left: number
}

/**
 * The real Files on a real temporary directory, with faults on request: `files.fail('write', 'ENOSPC')`. Use it as
 * `await using files = await TemporaryFiles.create()`; the directory is removed with it.
 */
export class TemporaryFiles implements Files, AsyncDisposable {
  /** Every system call that changed something or was made to fail, in order: `rename /tmp/…/agent.json`. */
  readonly calls: string[] = []
  readonly #faults = new Set<Fault>()
  readonly #disk: Disk

  private constructor(readonly directory: string) {
    this.#disk = new Disk(this.#faulty())
  }

  static async create(): Promise<TemporaryFiles> {
    return new TemporaryFiles(await mkdtemp(join(tmpdir(), 'icp-agent-test-')))
  }

  /** A path inside the temporary directory. */
  path(...parts: string[]): string {
    return join(this.directory, ...parts)
  }

  /** Makes a system call fail with an errno (`ENOSPC`, `EIO`, `EROFS`) until disposed. */
  fail(call: FaultyCall, errno: string, options: FaultOptions = {}): Disposable {
    const fault: Fault = { ...options, call, errno, left: options.times ?? Number.POSITIVE_INFINITY }
    this.#faults.add(fault)
    return { [Symbol.dispose]: () => void this.#faults.delete(fault) }
  }

  read(path: string, options: { maxBytes: number; own?: boolean }): Promise<Buffer | null> {
    return this.#disk.read(path, options)
  }
  writeAtomically(path: string, content: Uint8Array, mode?: number): Promise<void> {
    return this.#disk.writeAtomically(path, content, mode)
  }
  makeDirectory(path: string, mode: number, options?: { readonly alone?: boolean }): Promise<void> {
    return this.#disk.makeDirectory(path, mode, options)
  }
  identity(path: string): Promise<string | null> {
    return this.#disk.identity(path)
  }
  list(path: string): Promise<readonly string[]> {
    return this.#disk.list(path)
  }
  rename(from: string, to: string): Promise<void> {
    return this.#disk.rename(from, to)
  }
  remove(path: string): Promise<void> {
    return this.#disk.remove(path)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.directory, { recursive: true, force: true })
  }

  #check(call: FaultyCall, path: string): void {
    if (call !== 'read' && call !== 'stat' && call !== 'lstat') this.calls.push(`${call} ${path}`)
    for (const fault of this.#faults) {
      if (fault.call !== call || fault.left <= 0 || fault.path?.test(path) === false) continue
      fault.left--
      throw Object.assign(new Error(`${fault.errno}: injected, ${call} '${path}'`), { code: fault.errno })
    }
  }

  #faulty(): DiskCalls {
    return {
      open: async (path, flags, mode) => {
        this.#check('open', path)
        return this.#faultyHandle(await open(path, flags, mode), path)
      },
      rename: async (from, to) => {
        this.#check('rename', to)
        await rename(from, to)
      },
      unlink: async (path) => {
        this.#check('unlink', path)
        await unlink(path)
      },
      readdir: async (path) => {
        this.#check('readdir', path)
        return readdir(path)
      },
      lstat: async (path) => {
        this.#check('lstat', path)
        return lstat(path)
      },
    }
  }

  #faultyHandle(handle: DiskHandle, path: string): DiskHandle {
    const before =
      (call: FaultyCall) =>
      <T>(then: () => Promise<T>): Promise<T> =>
        Promise.resolve().then(() => {
          this.#check(call, path)
          return then()
        })
    return {
      stat: () => before('stat')(() => handle.stat()),
      read: (into, offset, length) => before('read')(() => handle.read(into, offset, length)),
      writeFile: async (content) => {
        try {
          this.#check('write', path)
        } catch (error) {
          await handle.writeFile(content.subarray(0, content.length >> 1))
          throw error
        }
        await handle.writeFile(content)
      },
      sync: () => before('sync')(() => handle.sync()),
      chmod: (mode) => before('chmod')(() => handle.chmod(mode)),
      close: () => handle.close(),
    }
  }
}

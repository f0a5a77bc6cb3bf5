import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  rmSync,
  statfsSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { self } from './directory.js'
import { errnoOf, ioError } from './io-error.js'
import { type Libc, loadLibc } from './koffi-libc.js'

const PREFIX = 'icp-agent-exec.'
const NAME = /^icp-agent-exec\.[A-Za-z0-9]{6}$/
/** `f_type` of tmpfs and ramfs. */
const IN_MEMORY: readonly number[] = [0x0102_1994, 0x8584_58f6]

export interface PrivateRuntimeDirectory extends Disposable {
  readonly path: string
  /** False: its files are written to a disk. */
  readonly inMemory: boolean
}

/**
 * A directory for this user only, on a file system in memory if there is one; removed at disposal. Also removes
 * directories of killed processes, whose locks are free. Throws `file.io`.
 */
export function privateRuntimeDirectory(
  env: Readonly<Record<string, string | undefined>>,
  libc: Pick<Libc, 'lock'> = loadLibc(),
): PrivateRuntimeDirectory {
  const candidates = [env['XDG_RUNTIME_DIR'] || '', '/dev/shm', '/run', tmpdir()].filter((path) => path !== '')
  let failure: unknown = null
  for (const base of [...candidates.filter(inMemory), tmpdir()]) {
    try {
      sweep(base, libc)
      const path = mkdtempSync(join(base, PREFIX))
      return {
        path,
        inMemory: inMemory(base),
        [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }),
      }
    } catch (error) {
      failure = error
    }
  }
  throw ioError('create a directory in', tmpdir(), failure)
}

function inMemory(path: string): boolean {
  try {
    return IN_MEMORY.includes(statfsSync(path).type)
  } catch (error) {
    if (errnoOf(error) === null) throw error
    return false
  }
}

function sweep(base: string, libc: Pick<Libc, 'lock'>): void {
  for (const name of readdirSync(base)) {
    if (NAME.test(name)) removeStale(join(base, name), libc)
  }
}

function removeStale(path: string, libc: Pick<Libc, 'lock'>): void {
  let fd: number | null = null
  try {
    if (lstatSync(path).uid !== self().uid) return
    fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW)
    const { uid, mode } = fstatSync(fd)
    if (uid === self().uid && (mode & 0o077) === 0 && libc.lock(fd)) rmSync(path, { recursive: true, force: true })
  } catch (error) {
    // A leftover is harmless.
    if (errnoOf(error) === null && !(error instanceof Error)) throw error
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

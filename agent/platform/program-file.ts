import { closeSync, readlinkSync } from 'node:fs'
import type { ExecutableId, OpenExecutable } from '../ports/kernel.js'
import type { HostMounts } from './host-mounts.js'
import type { Libc } from './koffi-libc.js'
import {
  AT_EMPTY_PATH,
  AT_STATX_DONT_SYNC,
  STATX_DEV_MAJOR_AT,
  STATX_DEV_MINOR_AT,
  STATX_INO,
  STATX_INO_AT,
  STATX_MASK_AT,
  STATX_MNT_ID,
  STATX_MNT_ID_AT,
  STATX_NLINK,
  STATX_NLINK_AT,
} from './linux-abi.js'

const DELETED = ' (deleted)'

/** The `statx` fields that identify an executable. */
export const EXECUTABLE_MASK = STATX_INO | STATX_MNT_ID

/** Parses the result of one `statx`, so that device, inode and mount belong to the same file. */
export function executableIdOf(statx: Buffer): ExecutableId {
  const major = BigInt(statx.readUInt32LE(STATX_DEV_MAJOR_AT))
  const minor = BigInt(statx.readUInt32LE(STATX_DEV_MINOR_AT))
  const hasMount = (statx.readUInt32LE(STATX_MASK_AT) & STATX_MNT_ID) !== 0
  return {
    device: makeDevice(major, minor),
    inode: statx.readBigUInt64LE(STATX_INO_AT),
    mount: hasMount ? statx.readBigUInt64LE(STATX_MNT_ID_AT) : null,
  }
}

interface ProgramContext {
  readonly libc: Pick<Libc, 'statx'>
  readonly hostMounts: Pick<HostMounts, 'has'>
}

/**
 * An executable held by an O_PATH descriptor of `/proc/PID/exe`, so that mount, name and content are those of one file even
 * if the process runs another program. While the descriptor is open its mount exists, so the mount's id is not reused.
 */
export class ProgramFile implements OpenExecutable {
  readonly id: ExecutableId
  readonly #own: Disposable
  #fd: number
  #holds = 1

  /** Takes ownership of the descriptor, also if it throws. */
  constructor(
    private readonly context: ProgramContext,
    fd: number,
  ) {
    this.#fd = fd
    try {
      this.id = executableIdOf(this.#stat(EXECUTABLE_MASK))
    } catch (error) {
      closeSync(fd)
      throw error
    }
    this.#own = this.#oneHold()
  }

  get file(): string {
    return `/proc/self/fd/${this.#fd}`
  }

  path(): string | null {
    // Without the mount's id (before Linux 5.8) the namespace of the path is unknown.
    if (this.id.mount === null || !this.context.hostMounts.has(this.id.mount)) return null
    const unlinked = this.#stat(STATX_NLINK).readUInt32LE(STATX_NLINK_AT) === 0
    const link = this.#link()
    // The kernel's mark of a file that was unlinked (a package upgrade), unless the name really ends so.
    return unlinked && link?.endsWith(DELETED) ? link.slice(0, -DELETED.length) : link
  }

  hold(): Disposable {
    if (this.#fd === -1) throw new TypeError('a released program cannot be held')
    this.#holds++
    return this.#oneHold()
  }

  [Symbol.dispose](): void {
    this.#own[Symbol.dispose]()
  }

  /** One hold, which is released once. */
  #oneHold(): Disposable {
    let held = true
    return {
      [Symbol.dispose]: () => {
        if (held && --this.#holds === 0) {
          closeSync(this.#fd)
          this.#fd = -1
        }
        held = false
      },
    }
  }

  #stat(mask: number): Buffer {
    return this.context.libc.statx(this.#fd, '', AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask)
  }

  /** Null if the path is longer than the kernel returns. */
  #link(): string | null {
    try {
      return readlinkSync(this.file)
    } catch {
      return null
    }
  }
}

/** As the C library's makedev: the value that `stat` gives for the same device. */
function makeDevice(major: bigint, minor: bigint): bigint {
  return ((major & 0xfffff000n) << 32n) | ((major & 0xfffn) << 8n) | ((minor & 0xffffff00n) << 12n) | (minor & 0xffn)
}

import { closeSync, constants, fstatSync, opendirSync, openSync, readlinkSync, readSync } from 'node:fs'
import { AgentError } from '../errors.js'
import { isKernelThread, startTime } from '../lib/proc-texts.js'
import type { ExecutableId, OpenExecutable, ProcessHandle } from '../ports/kernel.js'
import type { HostMounts } from './host-mounts.js'
import { type Libc, LibcError } from './koffi-libc.js'
import { AT_STATX_DONT_SYNC, ERRNO, O_PATH, POLLIN } from './linux-abi.js'
import { EXECUTABLE_MASK, executableIdOf, ProgramFile } from './program-file.js'

const MAX_BYTES = { stat: 65_536, status: 65_536, cgroup: 65_536, uid_map: 65_536, mountinfo: 1_048_576 } as const
/** Files that the kernel generates at once: a read that does not fill the buffer is complete. */
const ONE_PIECE: ReadonlySet<string> = new Set(['stat', 'status', 'cgroup'])
const NOT_ALLOWED: ReadonlySet<string> = new Set(['EACCES', 'EPERM'])
/** Errors for a thread that has exited or is exiting; EINVAL is that of its mounts. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'EINVAL'])
/** Limit of threads to try after the main thread has exited. */
const MAX_THREADS = 8
/** A line of `/proc/PID/status` of a thread that still has its memory. */
const HAS_MEMORY = '\nVmSize:'

type Unreadable = 'kernel_thread' | 'hidden' | 'ending' | 'no_descriptors' | 'other'

/** Why `/proc` of a live process cannot be read, and what to do. */
const ADVICE: Readonly<Record<Unreadable, string>> = {
  kernel_thread: 'it is a thread of the kernel, which has no program and calls nobody',
  hidden:
    '/proc is mounted with hidepid, or the agent lacks rights; give it CAP_SYS_PTRACE, or mount /proc with gid= of a group of its own',
  ending: 'it is exiting; try again',
  no_descriptors: 'no file descriptor is left; raise the limit of open files (LimitNOFILE, ulimit -n)',
  other: 'try again',
}

/** Reads are synchronous, so one buffer serves all of them. */
const buffer = Buffer.alloc(65_536)

/** The dependencies of a process handle. */
export interface ProcessContext {
  readonly libc: Libc
  /** Inodes of pidfds are unique per process (Linux 6.9). */
  readonly uniqueInodes: boolean
  readonly hostMounts: HostMounts
  /** The pidfd is about to be closed. */
  readonly forget: (pidfd: number) => void
}

/**
 * A process held by a pidfd and an open `/proc/PID`. Both refer to the process itself: after its exit neither shows
 * another process with the same pid. All reads go through the held directory.
 *
 * `/proc/PID` shows the main thread. If that has exited and others continue, its executable and mounts are gone, and
 * control groups of version 1 read as `/`. Then another thread is read, below `/proc/PID/task` (decision 0019).
 */
export class LinuxProcess implements ProcessHandle {
  readonly key: string
  #directory: number
  #pidfd: number
  #disposed = false
  /** The thread that was last read: empty for the main thread, else `task/TID/`. */
  #thread = ''

  /**
   * Takes ownership of the pidfd, also if it throws `caller.exited`.
   */
  constructor(
    private readonly context: ProcessContext,
    readonly pid: number,
    pidfd: number,
  ) {
    this.#pidfd = pidfd
    this.#directory = -1
    try {
      // Another process may have the pid; if ours is still alive after the open, the directory is ours.
      this.#directory = openSync(`/proc/${pid}`, constants.O_RDONLY | constants.O_DIRECTORY)
      this.key = context.uniqueInodes
        ? String(fstatSync(pidfd, { bigint: true }).ino)
        : `${pid}:${startTime(this.read('stat'))}`
      if (!this.alive()) throw this.#gone()
    } catch (error) {
      // The pidfd shows whether the process is alive only while it is open.
      const explained = this.#explain(error, `/proc/${pid}`)
      this[Symbol.dispose]()
      throw explained
    }
  }

  /** The descriptor that becomes readable when the process exits; -1 after disposal. */
  get pidfd(): number {
    return this.#pidfd
  }

  alive(): boolean {
    return !this.#disposed && (this.context.libc.poll(this.#pidfd, POLLIN) & POLLIN) === 0
  }

  executable(): ExecutableId | null {
    this.#path('exe')
    const { libc } = this.context
    try {
      // Without DONT_SYNC statx would send a request to a network or FUSE file system, which might never answer.
      return this.#ofLiving('exe', (name) =>
        executableIdOf(libc.statx(this.#directory, name, AT_STATX_DONT_SYNC, EXECUTABLE_MASK)),
      )
    } catch (error) {
      return this.#hidden(error, 'exe')
    }
  }

  openExecutable(): OpenExecutable | null {
    this.#path('exe')
    let fd: number
    try {
      fd = this.#ofLiving('exe', (name) => openSync(this.#path(name), O_PATH))
    } catch (error) {
      return this.#hidden(error, 'exe')
    }
    return new ProgramFile(this.context, fd)
  }

  read(file: keyof typeof MAX_BYTES): string {
    this.#path(file)
    try {
      // Always of the main thread, also after its exit: it has the name and start time of the process.
      if (file === 'stat') return this.#readFile(file, file)
      return this.#ofLiving(file, (name) => this.#readFile(name, file))
    } catch (error) {
      throw this.#explain(error, `/proc/${this.pid}/${file}`)
    }
  }

  namespace(kind: 'mnt' | 'user' | 'pid' | 'cgroup' | 'net'): string | null {
    return this.#link(`ns/${kind}`)
  }

  [Symbol.dispose](): void {
    if (this.#disposed) return
    this.#disposed = true
    this.context.forget(this.#pidfd)
    closeSync(this.#pidfd)
    if (this.#directory !== -1) closeSync(this.#directory)
    this.#pidfd = -1
    this.#directory = -1
  }

  /** Null if the agent may not read the link. */
  #link(name: string): string | null {
    this.#path(name)
    try {
      return this.#ofLiving(name, (of) => readlinkSync(this.#path(of)))
    } catch (error) {
      return this.#hidden(error, name)
    }
  }

  #readFile(name: string, file: keyof typeof MAX_BYTES): string {
    const fd = openSync(this.#path(name), 'r')
    try {
      const length = readSync(fd, buffer, 0, buffer.length, null)
      if (length < buffer.length && ONE_PIECE.has(file)) return buffer.toString('utf8', 0, length)
      return readBounded(fd, length, MAX_BYTES[file], `/proc/${this.pid}/${file}`)
    } finally {
      closeSync(fd)
    }
  }

  /**
   * The result of `look` for a thread that still has its memory afterwards: the one that was last read, else the main one,
   * else another one. An exiting thread loses its memory first, then mounts, namespaces and groups. All threads share one
   * memory, and so one executable. Without such a thread it throws the error of `look`.
   */
  #ofLiving<T>(name: string, look: (name: string) => T): T {
    let gone: unknown
    for (const thread of this.#threads()) {
      try {
        const seen = look(thread + name)
        // The executable can be read or opened only while the thread has its memory.
        if (name === 'exe' || this.#hasMemory(thread, name === 'status' ? seen : null)) {
          this.#thread = thread
          return seen
        }
        // A zombie; callers also check the pidfd.
        if (!this.alive()) return seen
        gone = new LibcError('memory', ERRNO.ESRCH)
      } catch (error) {
        if (!GONE.has(codeOfSystem(error) ?? '') || !this.alive()) throw error
        gone = error
      }
    }
    throw gone
  }

  #hasMemory(thread: string, status: unknown): boolean {
    if (typeof status === 'string') return status.includes(HAS_MEMORY)
    try {
      // Only a thread with its memory has an executable. This call is cheaper than reading some 1,400 bytes of status.
      this.context.libc.statx(this.#directory, `${thread}exe`, AT_STATX_DONT_SYNC, EXECUTABLE_MASK)
      return true
    } catch {
      // The executable may also be hidden from the agent; then the status decides.
      return this.#readFile(`${thread}status`, 'status').includes(HAS_MEMORY)
    }
  }

  /** The paths of threads, generated on demand. */
  *#threads(): Generator<string> {
    yield this.#thread
    if (this.#thread !== '') yield ''
    const directory = opendirSync(this.#path('task'))
    try {
      for (let i = 0; i <= MAX_THREADS; i++) {
        const entry = directory.readSync()
        if (!entry) return
        if (entry.name !== String(this.pid)) yield `task/${entry.name}/`
      }
    } finally {
      directory.closeSync()
    }
  }

  /** Null if the agent lacks permission, which is permanent; throws temporary errors and `caller.exited`. */
  #hidden(cause: unknown, name: string): null {
    const error = this.#explain(cause, `/proc/${this.pid}/${name}`)
    if (error.code !== 'caller.exited' && NOT_ALLOWED.has(codeOfSystem(cause) ?? '')) return null
    throw error
  }

  #path(name: string): string {
    // After disposal the descriptor's number may refer to another process's directory.
    if (this.#disposed) throw this.#gone()
    return `/proc/self/fd/${this.#directory}/${name}`
  }

  #gone(): AgentError {
    return new AgentError('caller.exited', `process ${this.pid} has ended`)
  }

  #isOfKernel(): boolean {
    try {
      return this.#directory !== -1 && isKernelThread(this.#readFile('stat', 'stat'))
    } catch {
      return false
    }
  }

  #explain(cause: unknown, path: string): AgentError {
    if (cause instanceof AgentError) return cause
    // Only the pidfd shows that a process has exited: reads of /proc fail for other reasons too.
    if (!this.#disposed && !this.alive()) return this.#gone()
    const code = codeOfSystem(cause) ?? 'unknown error'
    const reason = this.#isOfKernel() ? 'kernel_thread' : reasonOf(code, this.#directory === -1)
    return new AgentError(
      'caller.unidentified',
      `process ${this.pid} is alive, but ${path} cannot be read (${code}): ${ADVICE[reason]}`,
      { cause, details: { reason } },
    )
  }
}

/** `unopened`: the directory of the process could not be opened. */
function reasonOf(code: string, unopened: boolean): Unreadable {
  if (code === 'EMFILE' || code === 'ENFILE') return 'no_descriptors'
  if (NOT_ALLOWED.has(code)) return 'hidden'
  if (code !== 'ENOENT' && code !== 'ESRCH') return 'other'
  return unopened ? 'hidden' : 'ending'
}

/** The `first` bytes of the buffer, which have been read, and the rest of the file. */
function readBounded(fd: number, first: number, max: number, name: string): string {
  const parts: Buffer[] = []
  let total = 0
  for (let length = first; length > 0; length = readSync(fd, buffer, 0, buffer.length, null)) {
    total += length
    if (total > max) throw new AgentError('file.too_large', `${name} is larger than ${max} bytes`)
    parts.push(Buffer.from(buffer.subarray(0, length)))
  }
  return Buffer.concat(parts).toString('utf8')
}

function codeOfSystem(error: unknown): string | undefined {
  if (error instanceof LibcError) return error.code
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

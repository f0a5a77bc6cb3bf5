import { createRequire } from 'node:module'
import { constants } from 'node:os'
import { AgentError } from '../errors.js'
import {
  ABIS,
  AF_UNIX,
  EPOLL_CLOEXEC,
  EPOLL_CTL_ADD,
  EPOLL_CTL_DEL,
  EPOLLIN,
  ERRNO,
  F_SETFD,
  LOCK_EX,
  LOCK_NB,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  SIG_IGN,
  SIGRTMAX,
  SIGRTMIN,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOCK_STREAM,
  SOL_SOCKET,
  STATX_SIZE,
  SYS_PIDFD_OPEN,
} from './linux-abi.js'

/** A system call that failed: `errno` is the number, `code` its name. */
export class LibcError extends Error {
  override readonly name = 'LibcError'
  readonly code: string
  constructor(
    call: string,
    readonly errno: number,
  ) {
    const code = Object.entries(constants.errno).find(([, number]) => number === errno)?.[0] ?? String(errno)
    super(`${call}: ${code}`)
    this.code = code
  }
}

/** Calls of the C library that Node lacks. Every descriptor is close-on-exec; errors are LibcErrors. */
export interface Libc {
  /** Fills the buffer; returns the number of bytes. On ERANGE the length is the number that is needed. */
  getsockopt(fd: number, option: number, buffer: Buffer): { readonly length: number; readonly errno: number }
  pidfdOpen(pid: number): number
  /** Which of `events` (and POLLHUP, POLLERR) the descriptor has now; never waits. */
  poll(fd: number, events: number): number
  /** Returns a buffer that the next call overwrites. */
  statx(dirfd: number, name: string, flags: number, mask: number): Buffer
  epollCreate(): number
  /** `epollReady` returns the descriptor once it is readable. */
  epollAdd(epoll: number, fd: number): void
  epollRemove(epoll: number, fd: number): void
  /** Descriptors that are readable now, at most 256; never waits. */
  epollReady(epoll: number): readonly number[]
  /** Takes an exclusive lock until the descriptor is closed; false if another process holds it. */
  lock(fd: number): boolean
  /** Ends the process at once, without waiting for its threads. */
  exit(code: number): void
  /** One message to a Unix datagram socket; a path that begins with `@` is an abstract name. */
  sendDatagram(path: string, message: string): void
  /** The next connection of a non-blocking listening socket, as a non-blocking descriptor; null: none. */
  accept(listening: number): number | null
  /** Reads an extended attribute, following symlinks; null if there is none, or the file system has none. */
  getxattr(path: string, name: string): Buffer | null
  /** Two connected Unix sockets. */
  socketPair(): readonly [number, number]
  /** Replaces this process by a program with its environment and only these descriptors (execv). */
  execute(path: string, args: readonly string[], descriptors: readonly number[]): never
  /** Ignores the real-time signals, which Node cannot name and which would end the process. */
  ignoreRealTimeSignals(): void
}

export type Koffi = Pick<typeof import('koffi'), 'load' | 'errno'>

const MAX_EVENTS = 256
/** The kernel allows no larger attribute. */
const MAX_XATTR = 65_536
let loaded: Libc | undefined
let koffi = (): Koffi => createRequire(import.meta.url)('koffi')

/** Sets where the binding is loaded from if it is not in node_modules (a bundle, a single executable). */
export function takeKoffiFrom(load: () => Koffi): void {
  koffi = load
}

/** The binding itself, for calls that few commands need. Throws the errors of loading it. */
export function nativeBinding(): Koffi {
  return koffi()
}

/**
 * The C library of this process, loaded once. Throws `kernel.unsupported` on another system or architecture, or without
 * koffi.
 */
export function loadLibc(from: () => Koffi = koffi): Libc {
  loaded ??= bind(from)
  return loaded
}

function bind(load: () => Koffi): Libc {
  const abi = ABIS[process.arch]
  if (process.platform !== 'linux' || !abi) {
    throw new AgentError(
      'kernel.unsupported',
      `the agent needs Linux on x64 or arm64 to know who is calling; this is ${process.platform} on ${process.arch}`,
    )
  }
  try {
    return functions(load(), abi)
  } catch (cause) {
    throw new AgentError(
      'kernel.unsupported',
      'the native binding (koffi) cannot be loaded; install the dependencies with optional ones included',
      { cause },
    )
  }
}

function functions(koffi: Koffi, abi: (typeof ABIS)[string]): Libc {
  const c = koffi.load(null)
  const getsockopt = c.func('getsockopt', 'int', ['int', 'int', 'int', 'void *', 'void *'])
  const poll = c.func('poll', 'int', ['void *', 'ulong', 'int'])
  const epollCreate = c.func('epoll_create1', 'int', ['int'])
  const epollControl = c.func('epoll_ctl', 'int', ['int', 'int', 'int', 'void *'])
  const epollWait = c.func('epoll_wait', 'int', ['int', 'void *', 'int', 'int'])
  const flock = c.func('flock', 'int', ['int', 'int'])
  const exit = c.func('_exit', 'void', ['int'])
  const socket = c.func('socket', 'int', ['int', 'int', 'int'])
  const sendto = c.func('sendto', 'long', ['int', 'void *', 'size_t', 'int', 'void *', 'uint'])
  const close = c.func('close', 'int', ['int'])
  const accept4 = c.func('accept4', 'int', ['int', 'void *', 'void *', 'int'])
  const getxattr = c.func('getxattr', 'long', ['str', 'str', 'void *', 'size_t'])
  const socketpair = c.func('socketpair', 'int', ['int', 'int', 'int', 'void *'])
  const execv = c.func('execv', 'int', ['str', 'const char **'])
  // fcntl() is variadic with an int as third argument, which is passed in the same register; see syscall() below.
  const fcntl = c.func('fcntl', 'int', ['int', 'int', 'int'])
  const signal = c.func('signal', 'intptr_t', ['int', 'intptr_t'])
  // The variable arguments of syscall() are passed in registers on both architectures, as for any function of six integers.
  const pidfdOpen = c.func('syscall', 'long', ['long', 'int', 'uint'])
  const statx = c.func('syscall', 'long', ['long', 'int', 'str', 'int', 'uint', 'void *'])

  // All calls are synchronous, so each one reuses a buffer of its own.
  const length = Buffer.alloc(4)
  const pollfd = Buffer.alloc(8)
  const statxBuffer = Buffer.alloc(STATX_SIZE)
  const event = Buffer.alloc(abi.epollEventSize)
  const events = Buffer.alloc(abi.epollEventSize * MAX_EVENTS)
  const pair = Buffer.alloc(8)

  const checked = (call: string, result: number): number => {
    if (result < 0) throw new LibcError(call, koffi.errno())
    return result
  }

  return {
    getsockopt(fd, option, buffer) {
      length.writeUInt32LE(buffer.length)
      const failed = getsockopt(fd, SOL_SOCKET, option, buffer, length) < 0
      return { length: length.readUInt32LE(), errno: failed ? koffi.errno() : 0 }
    },
    pidfdOpen: (pid) => checked('pidfd_open', pidfdOpen(SYS_PIDFD_OPEN, pid, 0)),
    poll(fd, wanted) {
      pollfd.writeInt32LE(fd, 0)
      pollfd.writeInt16LE(wanted, 4)
      pollfd.writeInt16LE(0, 6)
      const result = poll(pollfd, 1, 0)
      if (result < 0 && koffi.errno() === ERRNO.EINTR) return 0
      checked('poll', result)
      return pollfd.readInt16LE(6)
    },
    statx(dirfd, name, flags, mask) {
      checked('statx', statx(abi.sysStatx, dirfd, name, flags, mask, statxBuffer))
      return statxBuffer
    },
    epollCreate: () => checked('epoll_create1', epollCreate(EPOLL_CLOEXEC)),
    epollAdd(epoll, fd) {
      event.fill(0)
      event.writeUInt32LE(EPOLLIN, 0)
      event.writeInt32LE(fd, abi.epollDataOffset)
      checked('epoll_ctl', epollControl(epoll, EPOLL_CTL_ADD, fd, event))
    },
    epollRemove: (epoll, fd) => void epollControl(epoll, EPOLL_CTL_DEL, fd, event),
    epollReady(epoll) {
      const count = epollWait(epoll, events, MAX_EVENTS, 0)
      if (count < 0 && koffi.errno() === ERRNO.EINTR) return []
      checked('epoll_wait', count)
      return Array.from({ length: count }, (_, i) => events.readInt32LE(i * abi.epollEventSize + abi.epollDataOffset))
    },
    lock(fd) {
      const result = flock(fd, LOCK_EX | LOCK_NB)
      if (result < 0 && koffi.errno() === ERRNO.EAGAIN) return false
      checked('flock', result)
      return true
    },
    exit: (code) => void exit(code),
    sendDatagram(path, message) {
      const name = Buffer.from(path)
      if (name.length === 0 || name.length > 107) throw new LibcError('sendto', ERRNO.EINVAL)
      // struct sockaddr_un: the family, then the path; an abstract name begins with a zero byte.
      const address = Buffer.alloc(2 + name.length)
      address.writeUInt16LE(AF_UNIX, 0)
      name.copy(address, 2)
      if (address[2] === 0x40) address[2] = 0
      const fd = checked('socket', socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
      try {
        const bytes = Buffer.from(message)
        checked('sendto', Number(sendto(fd, bytes, bytes.length, MSG_NOSIGNAL | MSG_DONTWAIT, address, address.length)))
      } finally {
        close(fd)
      }
    },
    accept(listening) {
      for (;;) {
        const fd = accept4(listening, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC)
        if (fd >= 0) return fd
        const errno = koffi.errno()
        if (errno === ERRNO.EAGAIN) return null
        if (errno !== ERRNO.EINTR && errno !== ERRNO.ECONNABORTED) throw new LibcError('accept4', errno)
      }
    },
    getxattr(path, name) {
      const value = Buffer.alloc(MAX_XATTR)
      const length = Number(getxattr(path, name, value, value.length))
      const absent: readonly number[] = [ERRNO.ENODATA, ERRNO.EOPNOTSUPP]
      if (length < 0 && absent.includes(koffi.errno())) return null
      return value.subarray(0, checked('getxattr', length))
    },
    socketPair() {
      checked('socketpair', socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
      return [pair.readInt32LE(0), pair.readInt32LE(4)]
    },
    execute(path, args, descriptors) {
      // Node has made inherited descriptors close-on-exec. fcntl fails for one that is not open, which is harmless.
      for (const fd of descriptors) fcntl(fd, F_SETFD, 0)
      execv(path, [...args, null])
      throw new LibcError('execv', koffi.errno())
    },
    ignoreRealTimeSignals() {
      // The C library refuses the first few, which it uses itself.
      for (let number = SIGRTMIN; number <= SIGRTMAX; number++) signal(number, SIG_IGN)
    },
  }
}

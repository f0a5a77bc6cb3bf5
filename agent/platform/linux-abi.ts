/** Numbers of the Linux kernel interface that Node does not name and that differ by architecture. */
export interface Abi {
  readonly sysStatx: number
  /** `struct epoll_event` is packed on x86-64 only. */
  readonly epollEventSize: number
  readonly epollDataOffset: number
}

/** The supported architectures. */
export const ABIS: Readonly<Record<string, Abi>> = {
  x64: { sysStatx: 332, epollEventSize: 12, epollDataOffset: 4 },
  arm64: { sysStatx: 291, epollEventSize: 16, epollDataOffset: 8 },
}

/** The same on every architecture, as all system calls since Linux 5.1. */
export const SYS_PIDFD_OPEN = 434

export const SOL_SOCKET = 1
export const SO_PEERCRED = 17
/** Linux 4.13. */
export const SO_PEERGROUPS = 59
/** Linux 6.5. */
export const SO_PEERPIDFD = 77

export const AF_UNIX = 1
export const SOCK_STREAM = 1
export const SOCK_DGRAM = 2
export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000

export const MSG_DONTWAIT = 0x40
export const MSG_NOSIGNAL = 0x4000

export const POLLIN = 0x1
export const POLLHUP = 0x10

export const EPOLL_CLOEXEC = 0o2000000
export const EPOLL_CTL_ADD = 1
export const EPOLL_CTL_DEL = 2
export const EPOLLIN = 0x1

export const F_SETFD = 2

export const SIG_IGN = 1
export const SIGRTMIN = 32
export const SIGRTMAX = 64

export const LOCK_EX = 2
export const LOCK_NB = 4

/** `open` flag that Node does not name: a handle on a file without opening it for reading or a request to its file system. */
export const O_PATH = 0o10000000
export const AT_EMPTY_PATH = 0x1000
export const AT_STATX_DONT_SYNC = 0x4000
export const STATX_NLINK = 0x4
export const STATX_INO = 0x100
/** Linux 5.8. */
export const STATX_MNT_ID = 0x1000
/** Offsets in `struct statx`, which is the same on every architecture. */
export const STATX_SIZE = 256
export const STATX_MASK_AT = 0
export const STATX_NLINK_AT = 16
export const STATX_INO_AT = 32
export const STATX_DEV_MAJOR_AT = 136
export const STATX_DEV_MINOR_AT = 140
export const STATX_MNT_ID_AT = 144

/** Inode of the machine's first PID namespace: the same on every Linux (`PROC_PID_INIT_INO`). */
export const INITIAL_PID_NAMESPACE = 'pid:[4026531836]'

export const ERRNO = {
  ESRCH: 3,
  EINTR: 4,
  ECHILD: 10,
  EAGAIN: 11,
  EINVAL: 22,
  ERANGE: 34,
  ENODATA: 61,
  ENOPROTOOPT: 92,
  EOPNOTSUPP: 95,
  ECONNABORTED: 103,
} as const

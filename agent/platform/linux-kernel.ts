import { closeSync, existsSync, fstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { AgentError, messageOf } from '../errors.js'
import { numbersOf } from '../lib/proc-texts.js'
import type { HostNamespaces, Kernel, Peer, ProcessHandle } from '../ports/kernel.js'
import { HostMounts } from './host-mounts.js'
import { type Libc, LibcError, loadLibc } from './koffi-libc.js'
import { ERRNO, INITIAL_PID_NAMESPACE, POLLHUP, SO_PEERCRED, SO_PEERGROUPS, SO_PEERPIDFD } from './linux-abi.js'
import { ProcessExits } from './process-exits.js'
import { LinuxProcess, type ProcessContext } from './process-handle.js'

export interface LinuxKernelOptions {
  readonly libc?: Libc
  /** Use pidfd_open right after accept instead of SO_PEERPIDFD, as before Linux 6.5. */
  readonly withoutPeerPidfd?: boolean
  /** Key processes by pid and start time instead of the pidfd's inode, as before Linux 6.9. */
  readonly withoutPidfdInodes?: boolean
  /** Poll interval for exits, in milliseconds; default 300. */
  readonly exitPollMs?: number
}

/**
 * The real kernel. Tests on a socket pair of its own that everything works; throws `kernel.unsupported` if not.
 */
export function createLinuxKernel(options: LinuxKernelOptions = {}): LinuxKernel {
  return new LinuxKernel(options.libc ?? loadLibc(), options)
}

export class LinuxKernel implements Kernel, Disposable {
  readonly host: HostNamespaces
  readonly ownCgroup: string
  readonly #exits: ProcessExits
  readonly #peerPidfd: boolean
  readonly #context: ProcessContext
  readonly #credentials = Buffer.alloc(12)
  readonly #descriptor = Buffer.alloc(4)
  #groups = Buffer.alloc(64 * 4)

  constructor(
    private readonly libc: Libc,
    options: LinuxKernelOptions,
  ) {
    this.#exits = new ProcessExits(libc, options.exitPollMs ?? 300)
    try {
      this.#peerPidfd = !options.withoutPeerPidfd && this.#hasPeerPidfd()
      this.host = hostNamespaces()
      this.ownCgroup = existsSync('/proc/self/cgroup') ? readFileSync('/proc/self/cgroup', 'utf8') : ''
      this.#context = {
        libc,
        uniqueInodes: !options.withoutPidfdInodes && this.#hasPidfdInodes(),
        hostMounts: new HostMounts(this.host.root === '' ? '/proc/self/mountinfo' : '/proc/1/mountinfo'),
        forget: (pidfd) => this.#exits.forget(pidfd),
      }
      this.#prove()
    } catch (cause) {
      this.#exits[Symbol.dispose]()
      throw new AgentError(
        'kernel.unsupported',
        `this kernel does not identify callers (${messageOf(cause)}); Linux 5.3 or later is needed, with /proc mounted and pidfd_open, statx and epoll not filtered`,
        { cause },
      )
    }
  }

  peerOf(fd: number): Peer {
    const { pid, uid, gid } = this.#peerCredentials(fd)
    // A caller of an invisible PID namespace has pid 0 and its real uid, perhaps 0, so the uid must not be used.
    if (pid <= 0) {
      throw new AgentError(
        'caller.foreign_pid_namespace',
        "the caller is in a PID namespace that the agent cannot see; run the agent in the host's: hostPID: true in Kubernetes, pid: host in Docker and Compose",
      )
    }
    const groups = this.#peerGroups(fd)
    const pidfd = this.#peerPidfd ? this.#pidfdOfPeer(fd, pid) : this.#pidfdByNumber(fd, pid)
    return { pid, uid, gid, groups, process: new LinuxProcess(this.#context, pid, pidfd) }
  }

  peerOfPid(pid: number): Peer {
    const process = new LinuxProcess(this.#context, pid, this.#pidfdOf(pid, noSuchProcess))
    try {
      const status = process.read('status')
      // Effective ids, as SO_PEERCRED gives them.
      const [uid, gid] = [numbersOf(status, 'Uid')[1], numbersOf(status, 'Gid')[1]]
      if (uid === undefined || gid === undefined) {
        throw new AgentError('caller.unidentified', `/proc/${pid}/status does not show the ids of the process`)
      }
      return { pid, uid, gid, groups: numbersOf(status, 'Groups'), process }
    } catch (error) {
      process[Symbol.dispose]()
      throw error
    }
  }

  pids(): readonly number[] {
    return readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  }

  cgroupOf(pid: number): string | null {
    try {
      return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    } catch {
      // It has exited, or may not be read.
      return null
    }
  }

  accept(listening: number): number | null {
    return this.libc.accept(listening)
  }

  close(fd: number): void {
    closeSync(fd)
  }

  idsOf(fd: number): { readonly pid: number; readonly uid: number } | null {
    const { length, errno } = this.libc.getsockopt(fd, SO_PEERCRED, this.#credentials)
    if (errno !== 0 || length !== 12) return null
    return { pid: this.#credentials.readInt32LE(0), uid: this.#credentials.readUInt32LE(4) }
  }

  hungUp(fd: number): boolean {
    return (this.libc.poll(fd, 0) & POLLHUP) !== 0
  }

  onExit(process: ProcessHandle, ended: () => void): Disposable {
    if (!(process instanceof LinuxProcess)) throw new TypeError('a process of another kernel cannot be watched')
    if (process.pidfd === -1) throw new TypeError('a disposed process cannot be watched')
    return this.#exits.watch(process.pidfd, ended)
  }

  [Symbol.dispose](): void {
    this.#exits[Symbol.dispose]()
  }

  /** `struct ucred`, fixed at connect(). */
  #peerCredentials(fd: number): { pid: number; uid: number; gid: number } {
    const { length, errno } = this.libc.getsockopt(fd, SO_PEERCRED, this.#credentials)
    if (errno !== 0 || length !== 12) throw unidentified('SO_PEERCRED', errno)
    return {
      pid: this.#credentials.readInt32LE(0),
      uid: this.#credentials.readUInt32LE(4),
      gid: this.#credentials.readUInt32LE(8),
    }
  }

  #peerGroups(fd: number): number[] {
    let { length, errno } = this.libc.getsockopt(fd, SO_PEERGROUPS, this.#groups)
    if (errno === ERRNO.ERANGE) {
      this.#groups = Buffer.alloc(length)
      ;({ length, errno } = this.libc.getsockopt(fd, SO_PEERGROUPS, this.#groups))
    }
    if (errno !== 0) throw unidentified('SO_PEERGROUPS', errno)
    return Array.from({ length: length / 4 }, (_, i) => this.#groups.readUInt32LE(i * 4))
  }

  #pidfdOfPeer(fd: number, pid: number): number {
    const { errno } = this.libc.getsockopt(fd, SO_PEERPIDFD, this.#descriptor)
    if (errno === 0) return this.#descriptor.readInt32LE()
    // For a reaped process kernels differ: a pidfd of no process, EINVAL, ESRCH or ENODATA.
    if (errno === ERRNO.EINVAL || errno === ERRNO.ESRCH || errno === ERRNO.ENODATA) throw exited(pid)
    throw unidentified('SO_PEERPIDFD', errno)
  }

  /**
   * Before Linux 6.5. The pid may have been reused since connect(), which a hangup of the peer shows. It does not show it if
   * a third process keeps the socket open; the threat model names this case.
   */
  #pidfdByNumber(fd: number, pid: number): number {
    const pidfd = this.#pidfdOf(pid, exited)
    if ((this.libc.poll(fd, 0) & POLLHUP) === 0) return pidfd
    closeSync(pidfd)
    throw exited(pid)
  }

  #pidfdOf(pid: number, gone: (pid: number) => AgentError): number {
    try {
      return this.libc.pidfdOpen(pid)
    } catch (cause) {
      const errno = cause instanceof LibcError ? cause.errno : 0
      throw errno === ERRNO.ESRCH ? gone(pid) : unidentified('pidfd_open', errno)
    }
  }

  #hasPeerPidfd(): boolean {
    return this.#withPair((fd) => {
      const { errno } = this.libc.getsockopt(fd, SO_PEERPIDFD, this.#descriptor)
      if (errno === ERRNO.ENOPROTOOPT) return false
      if (errno !== 0) throw new LibcError('SO_PEERPIDFD', errno)
      closeSync(this.#descriptor.readInt32LE())
      return true
    })
  }

  /** Before Linux 6.9 all pidfds share the inode of anonymous files; since then they have a file system of their own. */
  #hasPidfdInodes(): boolean {
    const pidfd = this.libc.pidfdOpen(process.pid)
    const anonymous = this.libc.epollCreate()
    try {
      return fstatSync(pidfd, { bigint: true }).dev !== fstatSync(anonymous, { bigint: true }).dev
    } finally {
      closeSync(anonymous)
      closeSync(pidfd)
    }
  }

  #prove(): void {
    this.#withPair((fd) => {
      const peer = this.peerOf(fd)
      using self = peer.process
      using _watch = this.onExit(self, () => {})
      const ids = peer.pid === process.pid && peer.uid === process.geteuid?.() && peer.gid === process.getegid?.()
      if (!ids || !self.alive()) throw new Error('a socket of the agent itself is attributed to another process')
      if (self.executable() === null) throw new Error('/proc/self/exe is hidden')
      self.read('status')
    })
  }

  #withPair<T>(use: (fd: number) => T): T {
    const [one, other] = this.libc.socketPair()
    try {
      return use(one)
    } finally {
      closeSync(one)
      closeSync(other)
    }
  }
}

function hostNamespaces(): HostNamespaces {
  const own = { mnt: link('/proc/self/ns/mnt'), user: link('/proc/self/ns/user') }
  const initial = link('/proc/self/ns/pid') === INITIAL_PID_NAMESPACE
  // Unreadable without SYS_PTRACE: then only processes in the agent's own namespace count as the host's.
  const mnt = initial ? (link('/proc/1/ns/mnt') ?? own.mnt) : own.mnt
  const user = initial ? (link('/proc/1/ns/user') ?? own.user) : own.user
  const identityMap = readFileSync('/proc/self/uid_map', 'utf8').trim().split(/\s+/).join(' ')
  return {
    mnt,
    user,
    root: mnt === own.mnt ? '' : '/proc/1/root',
    allIdsMapped: identityMap === '0 0 4294967295',
    besidePid1: own.mnt !== null && link('/proc/1/ns/mnt') === own.mnt,
  }
}

function link(path: string): string | null {
  try {
    return readlinkSync(path)
  } catch {
    return null
  }
}

function unidentified(option: string, errno: number): AgentError {
  return new AgentError(
    'caller.unidentified',
    `the kernel does not identify the caller (${new LibcError(option, errno).message})`,
  )
}

function exited(pid: number): AgentError {
  return new AgentError('caller.exited', `process ${pid} ended before its connection was accepted`)
}

function noSuchProcess(pid: number): AgentError {
  return new AgentError('caller.exited', `there is no process ${pid}`)
}

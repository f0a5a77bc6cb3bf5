import { AgentError } from '../../agent/errors.js'
import type {
  ExecutableId,
  HostNamespaces,
  Kernel,
  OpenExecutable,
  Peer,
  ProcessHandle,
} from '../../agent/ports/kernel.js'

/** The one mount of the host. */
export const HOST_MOUNT = 1n

/** What a process of the table is like; all of it may be left out. */
export interface ProcessTraits {
  /** Default: the next free pid. */
  readonly pid?: number
  readonly uid?: number
  readonly gid?: number
  readonly groups?: readonly number[]
  /** Path of the executable; null: it cannot be read. */
  readonly executable?: string | null
  /** Content of files of `/proc/PID` other than stat and status, which are made up. */
  readonly files?: Partial<Record<'cgroup' | 'mountinfo' | 'uid_map', string>>
  readonly namespaces?: Partial<Record<'mnt' | 'user' | 'pid' | 'cgroup' | 'net', string | null>>
  readonly comm?: string
}

/**
 * A table of processes that can exit, exec and be replaced. Connections are numbers: `connect` gives one, `peerOf`
 * answers for it. Exits are told at once.
 */
export class FakeKernel implements Kernel {
  host: HostNamespaces = { mnt: 'mnt:[1]', user: 'user:[1]', root: '', allIdsMapped: true, besidePid1: true }
  ownCgroup = '0::/system.slice/icp-agent.service\n'
  /** Handles that were opened and not disposed: a leak shows here. */
  readonly open = new Set<FakeHandle>()
  readonly #processes = new Map<number, FakeProcess>()
  readonly #connections = new Map<number, { peer: FakeProcess; pid: number; uid: number; gid: number }>()
  readonly #inodes = new Map<string, bigint>()
  #lastPid = 100
  #lastFd = 10
  #lastKey = 0

  /** A pid that is given may be one that an ended process had. */
  spawn(traits: ProcessTraits = {}): FakeProcess {
    const pid = traits.pid ?? ++this.#lastPid
    const process = new FakeProcess(this, pid, `key${++this.#lastKey}`, traits)
    this.#processes.set(pid, process)
    return process
  }

  /** The process connects; its ids are taken now. The number is what `peerOf` wants. `pid` shows another pid (0). */
  connect(process: FakeProcess, shows: { pid?: number } = {}): number {
    const fd = ++this.#lastFd
    const { uid, gid } = process
    this.#connections.set(fd, { peer: process, pid: shows.pid ?? process.pid, uid, gid })
    return fd
  }

  /** Connects and asks at once. */
  peer(process: FakeProcess): Peer {
    return this.peerOf(this.connect(process))
  }

  peerOf(fd: number): Peer {
    const connection = this.#connections.get(fd)
    if (!connection) throw new AgentError('caller.unidentified', `nobody is connected as ${fd}`)
    const { peer, pid, uid, gid } = connection
    if (pid <= 0) throw new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    if (peer.ended) throw new AgentError('caller.exited', `process ${pid} has ended`)
    return { pid, uid, gid, groups: peer.groups, process: new FakeHandle(this, peer) }
  }

  peerOfPid(pid: number): Peer {
    const process = this.#processes.get(pid)
    if (!process || process.ended) throw new AgentError('caller.exited', `there is no process ${pid}`)
    const { uid, gid, groups, statusIds } = process
    const ids = { uid: statusIds.uids?.[1] ?? uid, gid: statusIds.gids?.[1] ?? gid }
    return { pid, ...ids, groups, process: new FakeHandle(this, process) }
  }

  pids(): readonly number[] {
    return [...this.#processes.values()].filter(({ ended }) => !ended).map(({ pid }) => pid)
  }

  cgroupOf(pid: number): string | null {
    const process = this.#processes.get(pid)
    return process && !process.ended ? (process.traits.files?.cgroup ?? '0::/user.slice\n') : null
  }

  /** Connections of the table wait nowhere. */
  accept(): number | null {
    return null
  }

  close(fd: number): void {
    this.#connections.delete(fd)
  }

  idsOf(fd: number): { readonly pid: number; readonly uid: number } | null {
    const connection = this.#connections.get(fd)
    return connection ? { pid: connection.pid, uid: connection.uid } : null
  }

  hungUp(): boolean {
    return false
  }

  onExit(process: ProcessHandle, ended: () => void): Disposable {
    if (!(process instanceof FakeHandle)) throw new TypeError('a process of another kernel cannot be watched')
    return process.process.watch(ended)
  }

  /** The same path is the same file; a mount of the host's unless another is given. */
  fileOf(path: string, mount: bigint | null = HOST_MOUNT): ExecutableId {
    const inode = this.#inodes.get(path) ?? BigInt(this.#inodes.size + 1)
    this.#inodes.set(path, inode)
    return { device: 1n, inode, mount }
  }
}

/** One process of the table: what tests do to it. */
export class FakeProcess {
  uid: number
  gid: number
  groups: readonly number[]
  executable: string | null
  /** Through which the executable is run. */
  mount: bigint | null = HOST_MOUNT
  /** Programs that are held open: a leak shows here. */
  programs = 0
  ended = false
  /** Times that `/proc/PID/status` was read. */
  statusReads = 0
  /** The four ids of `/proc/PID/status`, where they differ from uid and gid. */
  statusIds: { uids?: readonly number[]; gids?: readonly number[] } = {}
  readonly #watchers = new Set<() => void>()

  constructor(
    readonly kernel: FakeKernel,
    readonly pid: number,
    readonly key: string,
    readonly traits: ProcessTraits,
  ) {
    this.uid = traits.uid ?? 1000
    this.gid = traits.gid ?? 1000
    this.groups = traits.groups ?? []
    this.executable = traits.executable === undefined ? '/usr/bin/app' : traits.executable
  }

  exit(): void {
    this.ended = true
    for (const watcher of [...this.#watchers]) watcher()
    this.#watchers.clear()
  }

  /** Through a mount of the host's unless another is given. */
  exec(executable: string, mount: bigint | null = HOST_MOUNT): void {
    this.executable = executable
    this.mount = mount
  }

  /** A setuid exec: the ids change, those of its connections do not. */
  execSetuid(executable: string, uid: number): void {
    this.executable = executable
    this.statusIds = { uids: [this.uid, uid, uid, uid] }
  }

  watch(ended: () => void): Disposable {
    const watcher = () => ended()
    this.#watchers.add(watcher)
    return { [Symbol.dispose]: () => void this.#watchers.delete(watcher) }
  }

  get watchers(): number {
    return this.#watchers.size
  }
}

/** One hold on a process. */
export class FakeHandle implements ProcessHandle {
  disposed = 0

  constructor(
    private readonly kernel: FakeKernel,
    readonly process: FakeProcess,
  ) {
    kernel.open.add(this)
  }

  get pid(): number {
    return this.process.pid
  }

  get key(): string {
    return this.process.key
  }

  alive(): boolean {
    return this.disposed === 0 && !this.process.ended
  }

  executable(): ExecutableId | null {
    const { executable, mount } = this.#living()
    return executable === null ? null : this.kernel.fileOf(executable, mount)
  }

  openExecutable(): OpenExecutable | null {
    const { process } = this
    const { executable, mount } = this.#living()
    if (executable === null) return null
    const hold = (): Disposable => {
      process.programs++
      return { [Symbol.dispose]: () => void process.programs-- }
    }
    return {
      id: this.kernel.fileOf(executable, mount),
      file: executable,
      path: () => (mount === HOST_MOUNT ? executable : null),
      hold,
      ...hold(),
    }
  }

  read(file: 'stat' | 'status' | 'cgroup' | 'mountinfo' | 'uid_map'): string {
    const { pid, traits, uid, gid, groups, statusIds } = this.#living()
    const comm = traits.comm ?? 'app'
    switch (file) {
      case 'stat':
        return `${pid} (${comm}) S 1 ${pid} ${pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 ${this.process.key.slice(3)} 0`
      case 'status': {
        this.process.statusReads++
        const uids = statusIds.uids ?? [uid, uid, uid, uid]
        const gids = statusIds.gids ?? [gid, gid, gid, gid]
        return `Name:\t${comm}\nState:\tS (sleeping)\nUid:\t${uids.join('\t')}\nGid:\t${gids.join('\t')}\nGroups:\t${groups.join(' ')} \n`
      }
      default:
        return traits.files?.[file] ?? (file === 'cgroup' ? '0::/user.slice\n' : '')
    }
  }

  namespace(kind: 'mnt' | 'user' | 'pid' | 'cgroup' | 'net'): string | null {
    const given = this.#living().traits.namespaces?.[kind]
    if (given !== undefined) return given
    return kind === 'mnt' || kind === 'user' ? this.kernel.host[kind] : `${kind}:[1]`
  }

  [Symbol.dispose](): void {
    this.disposed++
    this.kernel.open.delete(this)
  }

  #living(): FakeProcess {
    if (!this.alive()) throw new AgentError('caller.exited', `process ${this.pid} has ended`)
    return this.process
  }
}

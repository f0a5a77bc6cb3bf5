/** What the kernel says of who is calling: the only word that counts. */
export interface Kernel {
  /**
   * The peer of a connected Unix socket, read once when the connection is accepted.
   * Throws `caller.foreign_pid_namespace` (pid 0), `caller.exited`, `caller.unidentified`.
   */
  peerOf(fd: number): Peer
  /**
   * The process with that pid now, as a connection that it opened now would show it. Held by a pidfd before anything of it
   * is read. Throws `caller.exited` where there is none, `caller.unidentified`.
   */
  peerOfPid(pid: number): Peer
  /** All pids of now, and those of processes that end meanwhile. */
  pids(): readonly number[]
  /**
   * The text of `/proc/PID/cgroup`, to find processes by; null where it cannot be read. Nothing holds the process: whoever
   * acts on this opens it, and looks again.
   */
  cgroupOf(pid: number): string | null
  /**
   * The descriptor of the next connection that waits at a listening socket, or null. Whoever takes it closes it. Throws
   * where no descriptor is left.
   */
  accept(listening: number): number | null
  /** Closes a descriptor that `accept` gave. */
  close(fd: number): void
  /** pid and uid of the peer alone, for a few microseconds; null where the kernel does not say. */
  idsOf(fd: number): { readonly pid: number; readonly uid: number } | null
  /** True where nobody is at the other end any more. */
  hungUp(fd: number): boolean
  /** Calls back, within a second, once a process that is watched has ended. */
  onExit(process: ProcessHandle, ended: () => void): Disposable
  /** What counts as the host, read once at start. */
  readonly host: HostNamespaces
  /** The text of the agent's own `/proc/self/cgroup`, read once at start; empty where there is none. */
  readonly ownCgroup: string
}

/**
 * The namespaces of pid 1 where the agent sees the machine's PID namespace (`hostPID`, `pid: host`, no container), else
 * the agent's own: then its own container is all the host there is to it. Null where they cannot be read.
 */
export interface HostNamespaces {
  readonly mnt: string | null
  readonly user: string | null
  /** Where the host's files are seen from here: empty, or `/proc/1/root` when the agent has a mount namespace of its own. */
  readonly root: string
  /** False inside a user namespace: ids that are not mapped all show as 65534 then. */
  readonly allIdsMapped: boolean
  /**
   * The agent is in pid 1's mount namespace: on a bare machine, and in a container with a PID namespace of its own. False
   * where pid 1's namespace cannot be read.
   */
  readonly besidePid1: boolean
}

/** SO_PEERCRED, SO_PEERGROUPS and a handle on the process itself. */
export interface Peer {
  readonly pid: number
  readonly uid: number
  readonly gid: number
  readonly groups: readonly number[]
  readonly process: ProcessHandle
}

/** The file behind `/proc/PID/exe`, and the mount through which it is run. */
export interface ExecutableId {
  readonly device: bigint
  readonly inode: bigint
  /** The mount's id; null where the kernel does not say it (before Linux 5.8). */
  readonly mount: bigint | null
}

/**
 * The program of a process, held open: whatever the process runs next, this stays the same file on the same mount. It is
 * not opened for reading, and its file system is not asked.
 */
export interface OpenExecutable extends Disposable {
  readonly id: ExecutableId
  /** Opens the file for reading, for as long as this is open: `/proc/self/fd/N`. */
  readonly file: string
  /** Keeps it open until what is returned is disposed too. */
  hold(): Disposable
  /**
   * Its path, without the mark of a deleted file. Null where it cannot be read, and where its mount is none of the
   * host's: in a mount namespace of one's own any file can bear any path.
   */
  path(): string | null
}

/**
 * One process, held so that it cannot be mistaken for another: a pidfd (or, on old kernels, pid and start time) and an
 * open `/proc/PID` through which everything is read. Reads throw `caller.exited` once the process has ended.
 */
export interface ProcessHandle extends Disposable {
  readonly pid: number
  /** Unique to this process, also when the pid is used again. */
  readonly key: string
  /** False once the process has ended (zombies included). */
  alive(): boolean
  /** Null where it cannot be read (no SYS_PTRACE). Never touches the file system underneath. */
  executable(): ExecutableId | null
  /** Holds the program that runs now: all that is said of one program is read from this. Null as for `executable()`. */
  openExecutable(): OpenExecutable | null
  /** A small file of `/proc/PID` whose reading never waits for the process: never cmdline, environ or maps. */
  read(file: 'stat' | 'status' | 'cgroup' | 'mountinfo' | 'uid_map'): string
  /** `mnt:[4026531840]`, or null where it cannot be read. */
  namespace(kind: 'mnt' | 'user' | 'pid' | 'cgroup' | 'net'): string | null
}

/** The kernel, which alone identifies callers. */
export interface Kernel {
  /**
   * The peer of a connected Unix socket, read once when the connection is accepted.
   * Throws `caller.foreign_pid_namespace` (pid 0), `caller.exited`, `caller.unidentified`.
   */
  peerOf(fd: number): Peer
  /**
   * The process with that pid now, as the peer of a connection that it would open now. It is held by a pidfd before
   * anything of it is read. Throws `caller.exited` if there is none, `caller.unidentified`.
   */
  peerOfPid(pid: number): Peer
  /** All present pids; some of the processes may exit meanwhile. */
  pids(): readonly number[]
  /**
   * The text of `/proc/PID/cgroup`, to find processes; null if it cannot be read. The process is not held: before acting on
   * it, open the process and read again.
   */
  cgroupOf(pid: number): string | null
  /**
   * The descriptor of the next waiting connection of a listening socket, or null. The caller must close it. Throws if no
   * descriptor is left.
   */
  accept(listening: number): number | null
  /** Closes a descriptor of `accept`. */
  close(fd: number): void
  /** Only pid and uid of the peer, which takes a few microseconds; null if the kernel does not name them. */
  idsOf(fd: number): { readonly pid: number; readonly uid: number } | null
  /** True if the peer has closed the connection. */
  hungUp(fd: number): boolean
  /** Calls back within a second after the process has exited. */
  onExit(process: ProcessHandle, ended: () => void): Disposable
  /** The namespaces of the host, read once at start. */
  readonly host: HostNamespaces
  /** The text of the agent's own `/proc/self/cgroup`, read once at start; empty where there is none. */
  readonly ownCgroup: string
}

/**
 * The namespaces of pid 1 if the agent sees the machine's PID namespace (`hostPID`, `pid: host`, no container); else the
 * agent's own, so that its own container counts as the host. Null if they cannot be read.
 */
export interface HostNamespaces {
  readonly mnt: string | null
  readonly user: string | null
  /** The path of the host's root: empty, or `/proc/1/root` if the agent has a mount namespace of its own. */
  readonly root: string
  /** False in a user namespace, in which all unmapped ids read as 65534. */
  readonly allIdsMapped: boolean
  /**
   * The agent is in pid 1's mount namespace: on a machine without containers, and in a container with its own PID namespace.
   * False if pid 1's namespace cannot be read.
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
  /** The mount's id; null before Linux 5.8. */
  readonly mount: bigint | null
}

/**
 * The executable of a process, held open: it stays the same file on the same mount, whatever the process runs next. It is
 * not opened for reading, and no request goes to its file system.
 */
export interface OpenExecutable extends Disposable {
  readonly id: ExecutableId
  /** Opens the file for reading, for as long as this is open: `/proc/self/fd/N`. */
  readonly file: string
  /** Keeps it open until the result is disposed too. */
  hold(): Disposable
  /**
   * Its path, without the mark of a deleted file. Null if it cannot be read, or if its mount is not one of the host's: in a
   * private mount namespace any file can have any path.
   */
  path(): string | null
}

/**
 * One process, held so that it cannot be mistaken for another: a pidfd (or, on old kernels, pid and start time) and an
 * open `/proc/PID` through which everything is read. Reads throw `caller.exited` once the process has ended.
 */
export interface ProcessHandle extends Disposable {
  readonly pid: number
  /** Identifies this process, also when its pid is reused. */
  readonly key: string
  /** False once the process has ended (zombies included). */
  alive(): boolean
  /** Null if it cannot be read (no SYS_PTRACE). Sends no request to the file system. */
  executable(): ExecutableId | null
  /** Holds the present executable, so that all its properties are read from one file. Null as for `executable()`. */
  openExecutable(): OpenExecutable | null
  /** Reads a small file of `/proc/PID` that never waits for the process, unlike cmdline, environ and maps. */
  read(file: 'stat' | 'status' | 'cgroup' | 'mountinfo' | 'uid_map'): string
  /** `mnt:[4026531840]`, or null if it cannot be read. */
  namespace(kind: 'mnt' | 'user' | 'pid' | 'cgroup' | 'net'): string | null
}

/** A program that runs in the node. */
export interface Daemon {
  readonly name: string
  /** With SIGKILL; resolves when it has ended. */
  kill(): Promise<void>
}

/** Where a node runs: its kernel's view of processes, mounts, network and control groups. */
export interface NodeHost extends AsyncDisposable {
  /** The node's files that this machine can read and write, at the same path in both. */
  readonly dir: string
  /** What only the node reads, and keeps when it boots again. */
  readonly stateDir: string
  readonly cgroupDriver: 'cgroupfs' | 'systemd'
  /** Runs a program to its end; resolves with its output. */
  run(program: string, ...args: readonly string[]): Promise<string>
  /** Starts a program; its output goes to NAME.log in the node's directory. `path` is searched first for programs. */
  start(name: string, program: string, args: readonly string[], path?: string): Promise<Daemon>
  /** Sends SIGKILL to each process of a container, by the control group that is named like it. */
  killContainer(id: string): Promise<void>
}

/** Where a Unix socket lives. All errors are AgentErrors: `file.unsafe`, `file.io`, `config.invalid` (path too long). */
export interface SocketDirectory {
  /**
   * Creates the directory (0755) and its missing ancestors, refuses one in which somebody else could replace the
   * socket, and holds it open. A directory that others can write to is tightened when it is ours and not sticky.
   */
  prepare(socketPath: string): SocketPlace
}

/** The place of one socket in a directory that is held open until disposed. */
export interface SocketPlace extends Disposable {
  readonly path: string
  /** Bind here: beside the socket, never longer than the kernel allows. */
  readonly temporaryPath: string
  /** The mode that the directory had before it was tightened; null when it was right. */
  readonly tightenedFrom: number | null
  /** True when a socket is there. Anything but a socket (a file, a symlink) is `file.unsafe` and never touched. */
  occupied(): boolean
  /** Gives the bound socket mode 0666 and renames it over the path, so that there is no moment without one. */
  install(): void
  /** True while the path names the socket that was installed. */
  intact(): boolean
  /** Removes the path if it is still the socket that was installed, and a temporary one that was not. */
  remove(): void
}

/** The directory of a Unix socket. All errors are AgentErrors: `file.unsafe`, `file.io`, `config.invalid` (path too long). */
export interface SocketDirectory {
  /**
   * Creates the directory (0755) and its missing ancestors, refuses one in which another user could replace the socket, and
   * holds it open. Removes write permission of others if the directory is ours and not sticky.
   */
  prepare(socketPath: string): SocketPlace
}

/** The place of one socket in a directory that is held open until disposed. */
export interface SocketPlace extends Disposable {
  readonly path: string
  /** The path to bind to: in the same directory, never longer than the kernel allows. */
  readonly temporaryPath: string
  /** The mode of the directory before write permission was removed; null if it was not. */
  readonly tightenedFrom: number | null
  /** True if there is a socket at the path. Anything else (a file, a symlink) is `file.unsafe` and never touched. */
  occupied(): boolean
  /** Gives the bound socket mode 0666 and renames it over the path, so that the path always has a socket. */
  install(): void
  /** True while the path names the socket that was installed. */
  intact(): boolean
  /** Removes the path if it is still the socket that was installed, and a temporary one that was not. */
  remove(): void
}

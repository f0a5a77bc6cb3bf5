import type { ExecutableId, Peer } from '../ports/kernel.js'

/** The calling process as the kernel reported it at accept: the peer, and the executable that it ran at that moment. */
export interface Caller extends Peer {
  /** The executable at accept; null if it cannot be read. */
  readonly executable: ExecutableId | null
}

/** Whether both are the same file on the same mount. Mounts are compared only if the kernel names them (Linux 5.8). */
export function sameExecutable(a: ExecutableId, b: ExecutableId): boolean {
  return a.device === b.device && a.inode === b.inode && a.mount === b.mount
}

/** The peer with its present executable; comparing it later detects an exec. */
export function callerOf(peer: Peer): Caller {
  return Object.assign(peer, { executable: peer.process.executable() })
}

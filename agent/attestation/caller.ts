import type { ExecutableId, Peer } from '../ports/kernel.js'

/** Who is calling, as the kernel said at accept: the peer and the program it ran at that moment. */
export interface Caller extends Peer {
  /** The executable at accept; null where it cannot be read. */
  readonly executable: ExecutableId | null
}

/** Whether both are one file, run through one mount. Mounts count only where the kernel names them (Linux 5.8). */
export function sameExecutable(a: ExecutableId, b: ExecutableId): boolean {
  return a.device === b.device && a.inode === b.inode && a.mount === b.mount
}

/** The peer itself, with the identity of its executable at this moment: an exec after accept is seen by comparison. */
export function callerOf(peer: Peer): Caller {
  return Object.assign(peer, { executable: peer.process.executable() })
}

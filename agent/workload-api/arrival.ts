import { type Server, Socket } from 'node:net'
import type { Kernel } from '../ports/kernel.js'

/** A connection that was accepted. It need not have a socket of Node yet, which is much of what it costs. */
export interface Arrival {
  /** Null where Node hides it. */
  readonly fd: number | null
  /** Its socket, paused. Throws where there can be none; the descriptor is closed then. */
  open(): Socket
  /** Ends it. */
  drop(): void
}

/** One that Node accepted. */
export function arrivalOf(socket: Socket): Arrival {
  return { fd: descriptorOf(socket), open: () => socket, drop: () => void socket.destroy() }
}

/** One that is a descriptor and nothing else. */
export function arrivalOn(fd: number, kernel: Pick<Kernel, 'close'>): Arrival {
  return {
    fd,
    open() {
      try {
        // Nothing is read before somebody has taken the connection.
        return new Socket({ fd, readable: true, writable: true }).pause()
      } catch (error) {
        kernel.close(fd)
        throw error
      }
    },
    drop: () => kernel.close(fd),
  }
}

/** Node does not publish the descriptor of a socket; whoever wants to know the peer needs it. */
export function descriptorOf(owner: Socket | Server): number | null {
  const handle: unknown = Reflect.get(owner, '_handle')
  if (typeof handle !== 'object' || handle === null || !('fd' in handle)) return null
  return typeof handle.fd === 'number' && handle.fd >= 0 ? handle.fd : null
}

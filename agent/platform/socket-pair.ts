import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { loadLibc } from './koffi-libc.js'

/** Two connected Unix sockets, both paused. Throws LibcError, `kernel.unsupported`. */
export function socketPair(): readonly [Socket, Socket] {
  const [one, other] = loadLibc().socketPair()
  const first = owning(one, () => closeSync(other))
  return [first, owning(other, () => first.destroy())]
}

/** The socket of a descriptor; closes the descriptor if none can be made. */
function owning(fd: number, giveUp: () => void): Socket {
  try {
    return new Socket({ fd, readable: true, writable: true })
  } catch (error) {
    closeSync(fd)
    giveUp()
    throw error
  }
}

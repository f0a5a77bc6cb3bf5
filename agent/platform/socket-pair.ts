import { closeSync } from 'node:fs'
import { Socket } from 'node:net'
import { loadLibc } from './koffi-libc.js'

/** Two Unix sockets of this process that are connected to each other, both paused. Throws LibcError, `kernel.unsupported`. */
export function socketPair(): readonly [Socket, Socket] {
  const [one, other] = loadLibc().socketPair()
  const first = owning(one, () => closeSync(other))
  return [first, owning(other, () => first.destroy())]
}

/** The socket of a descriptor, which is closed where there can be none. */
function owning(fd: number, giveUp: () => void): Socket {
  try {
    return new Socket({ fd, readable: true, writable: true })
  } catch (error) {
    closeSync(fd)
    giveUp()
    throw error
  }
}

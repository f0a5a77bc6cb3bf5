import { Socket } from 'node:net'
import { loadLibc } from './koffi-libc.js'

/** Two Unix sockets of this process that are connected to each other, both paused. Throws LibcError, `kernel.unsupported`. */
export function socketPair(): readonly [Socket, Socket] {
  const [one, other] = loadLibc().socketPair()
  return [
    new Socket({ fd: one, readable: true, writable: true }),
    new Socket({ fd: other, readable: true, writable: true }),
  ]
}

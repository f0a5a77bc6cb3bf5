import type { Socket } from 'node:net'
import { PassThrough, pipeline, type Transform } from 'node:stream'
import { AuthorityRewriter, mayNamePath } from './authority-rewriter.js'

/**
 * An HTTP/2 session parses its first chunk whole before the first call in it is seen: 64 KiB can be hundreds of calls.
 * Later reads can stop at any call. Few clients begin with more than this.
 */
const MOST_AT_ONCE = 4_096

/** Two connected sockets of this process. */
export type SocketPair = () => readonly [Socket, Socket]

/**
 * Hands the connection to HTTP/2 once its first bytes are there, which every client sends at once (RFC 9113 3.4):
 * `inject` gets the socket itself, or a stand-in that bears its name, for a client whose authorities must be rewritten
 * or that begins with very much. A connection that says nothing costs no session.
 */
export function openConnection(socket: Socket, pair: SocketPair, inject: (socket: Socket) => void): void {
  let begin = Buffer.alloc(0)
  const look = (chunk: Buffer) => {
    begin = Buffer.concat([begin, chunk])
    const rewrite = mayNamePath(begin)
    if (rewrite === null) return
    socket.off('data', look)
    socket.pause()
    socket.unshift(begin)
    try {
      if (rewrite) inject(standIn(socket, pair, new AuthorityRewriter()))
      else if (begin.length > MOST_AT_ONCE) inject(standIn(socket, pair, new PassThrough()))
      // Paused: the session takes what was read before and reads on by itself. Resumed, it would lose that.
      else inject(socket)
    } catch (error) {
      // No descriptor is left for a pair: the client tries again.
      socket.destroy(error instanceof Error ? error : undefined)
    }
  }
  socket.on('data', look)
  socket.resume()
}

/** A socket that carries what the client's does, as `through` leaves it. They end together. */
function standIn(socket: Socket, pair: SocketPair, through: Transform): Socket {
  const [shown, hidden] = pair()
  Object.defineProperty(shown, 'remoteAddress', { value: socket.remoteAddress })
  Object.defineProperty(shown, 'remotePort', { value: undefined })
  // Whichever end goes first, the others go with it; who went is no error of ours.
  const ended = () => {
    socket.destroy()
    shown.destroy()
  }
  shown.on('error', ended)
  pipeline(socket, through, hidden, ended)
  pipeline(hidden, socket, ended)
  return shown
}

import type { Socket } from 'node:net'
import { PassThrough, pipeline, type Transform } from 'node:stream'
import { AuthorityRewriter, mayNamePath } from './authority-rewriter.js'

/**
 * An HTTP/2 session parses its first chunk completely before it reports the first call, and 64 KiB can be hundreds of
 * calls; later reads can stop at any call. Few clients begin with more than this.
 */
const MOST_AT_ONCE = 4_096

/** Two connected sockets of this process. */
export type SocketPair = () => readonly [Socket, Socket]

/**
 * Hands the connection to HTTP/2 when its first bytes arrive, which every client sends at once (RFC 9113 3.4), so that a
 * silent connection costs no session. `inject` gets the socket itself, or another socket with its name if authorities must
 * be rewritten or the first chunk is large.
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
      // The socket stays paused: the session takes the bytes that were read and continues; after resume() they would be lost.
      else inject(socket)
    } catch (error) {
      // No descriptor is left for a socket pair; the client can retry.
      socket.destroy(error instanceof Error ? error : undefined)
    }
  }
  socket.on('data', look)
  socket.resume()
}

/** A socket connected to the client's through `through`. Both end together. */
function standIn(socket: Socket, pair: SocketPair, through: Transform): Socket {
  const [shown, hidden] = pair()
  Object.defineProperty(shown, 'remoteAddress', { value: socket.remoteAddress })
  Object.defineProperty(shown, 'remotePort', { value: undefined })
  // When one of the sockets ends, all end; that is not an error of the agent.
  const ended = () => {
    socket.destroy()
    shown.destroy()
  }
  shown.on('error', ended)
  pipeline(socket, through, hidden, ended)
  pipeline(hidden, socket, ended)
  return shown
}

import { connect, type ListenOptions, type Server } from 'node:net'
import { AgentError, messageOf } from '../errors.js'
import type { CallerEvents } from '../observability/caller-events.js'
import type { SocketDirectory, SocketPlace } from '../ports/socket-directory.js'

/** Node's default of 511 would refuse a burst of a thousand clients. */
const BACKLOG = 4096

/**
 * Makes the server listen at the path. A stale socket is replaced atomically; a live one is `agent.already_running`;
 * anything else at the path is `file.unsafe` and is not touched.
 */
export async function listenAtPath(
  server: Server,
  path: string,
  directory: SocketDirectory,
  events: CallerEvents,
): Promise<SocketPlace> {
  const place = directory.prepare(path)
  try {
    if (place.tightenedFrom !== null) events.directoryTightened(path, place.tightenedFrom)
    const stale = place.occupied()
    if (stale) await refuseIfAlive(path)
    await listening(server, { path: place.temporaryPath })
    place.install()
    if (stale) events.socketTakenOver(path)
    return place
  } catch (error) {
    server.close()
    place.remove()
    place[Symbol.dispose]()
    throw error
  }
}

/** Makes the server use a socket that already listens. Throws `config.invalid` unless it is a Unix socket. */
export async function listenOnDescriptor(server: Server, fd: number): Promise<void> {
  await listening(server, { fd })
  const address = server.address()
  // Node has no address for an inherited Unix socket. For a TCP socket, which has one, the kernel does not name the peer.
  if (address === null || typeof address === 'string') return
  server.close()
  throw new AgentError('config.invalid', `descriptor ${fd} is not a Unix socket (ListenStream= must name a path)`)
}

async function listening(server: Server, where: ListenOptions & { readonly fd?: number }): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ ...where, backlog: BACKLOG }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  } catch (cause) {
    const place = where.path ?? `descriptor ${where.fd}`
    throw new AgentError('file.io', `cannot listen at ${place} (${messageOf(cause)})`, { cause })
  }
}

async function refuseIfAlive(path: string): Promise<void> {
  const failure = await new Promise<string | null>((resolve) => {
    const probe = connect(path)
    probe.once('connect', () => {
      probe.destroy()
      resolve(null)
    })
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
  })
  if (failure === 'ECONNREFUSED' || failure === 'ENOENT') return
  // EAGAIN: another process listens and is too busy to accept.
  if (failure === null || failure === 'EAGAIN') {
    throw new AgentError('agent.already_running', `another agent serves ${path}; stop it or choose another socket_path`)
  }
  throw new AgentError('file.unsafe', `${path} is a socket that cannot be connected to (${failure}); remove it`)
}

import { dirname } from 'node:path'
import { AgentError } from '../errors.js'
import { checkDirectory, ensureDirectory } from '../platform/directory.js'
import { holdLock } from '../platform/file-lock.js'
import { nameIn } from '../platform/name-in.js'

/** The size of the path in `sockaddr_un` without the final zero byte. */
const MAX_PATH_BYTES = 107
const MODE = 0o700

export interface AdminPlace {
  readonly adminSocketPath: string
  readonly dataDir: string
  readonly socketPath: string
}

/** Why the admin socket may not be at its path; null: it may. Does not access the disk. */
export function misplaced({ adminSocketPath, socketPath }: Omit<AdminPlace, 'dataDir'>): string | null {
  if (Buffer.byteLength(adminSocketPath) > MAX_PATH_BYTES) {
    return `${adminSocketPath} is too long for a socket: the kernel allows ${MAX_PATH_BYTES} bytes`
  }
  if (nameIn(dirname(socketPath), adminSocketPath) !== null) {
    return `${adminSocketPath} lies in the directory of agent.socket_path, which workloads mount`
  }
  return null
}

/**
 * Prepares the directory of the admin socket, and locks the path against other agents: in the data directory the agent's
 * own lock does that, elsewhere a lock beside the socket. Throws `admin.unavailable`, `agent.already_running`,
 * `file.unsafe`, `file.io`.
 */
export function holdAdminPlace(place: AdminPlace): Disposable | null {
  const reason = misplaced(place)
  if (reason !== null)
    throw new AgentError('admin.unavailable', `${reason}; set agent.admin_socket_path to another one`)
  const { adminSocketPath, dataDir } = place
  const directory = dirname(adminSocketPath)
  if (directory === dataDir) return null
  if (checkDirectory(directory).state === 'missing') ensureDirectory(directory, MODE)
  const found = checkDirectory(directory)
  if (found.state !== 'safe') {
    const why = found.state === 'unsafe' ? `${found.at}: ${found.reason}` : 'others can write to it'
    throw new AgentError('file.unsafe', `${directory} is not safe for the admin socket (${why})`)
  }
  return holdLock(`${adminSocketPath}.lock`)
}

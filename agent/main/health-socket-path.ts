import { dirname, join } from 'node:path'
import { nameIn } from '../platform/name-in.js'

/** The size of the path in `sockaddr_un` without the final zero byte. */
const MAX_PATH_BYTES = 107

/** The path of the health socket, or why there is none; used by the agent and `healthcheck`. */
export function healthSocketPath(agent: {
  readonly dataDir: string
  readonly socketPath: string
}): { readonly path: string } | { readonly reason: string } {
  const path = join(agent.dataDir, 'health.sock')
  if (nameIn(dirname(agent.socketPath), path) !== null) {
    return { reason: 'agent.data_dir lies in the directory of agent.socket_path, which workloads mount' }
  }
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    return { reason: `agent.data_dir is so long that ${path} exceeds the limit of socket paths` }
  }
  return { path }
}

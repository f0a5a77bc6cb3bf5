import type { Config } from '../config/config.js'
import { isError } from '../errors.js'

type AgentPlaces = Pick<Config['agent'], 'dataDir' | 'socketPath'>

const NOT_ALLOWED = new Set<unknown>(['EACCES', 'EPERM', 'EROFS'])

/**
 * The remedy if the agent may not create one of its directories, because it runs as another user than an installation's.
 * Nothing for any other error.
 */
export function placeRemedy(error: unknown, { dataDir, socketPath }: AgentPlaces): { readonly remedy?: string } {
  if (!isError(error, 'file.io')) return {}
  const { path, errno } = error.details
  if (path === undefined || !NOT_ALLOWED.has(errno)) return {}
  const onTheWay = [dataDir, socketPath].some((place) => `${place}/`.startsWith(`${path}/`))
  return onTheWay
    ? { remedy: 'name directories that this user may make with agent.data_dir and agent.socket_path' }
    : {}
}

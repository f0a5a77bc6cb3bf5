import { AgentError } from '../../agent/errors.js'
import type { NodeAttestor } from '../../agent/node/evidence.js'
import type { Files } from '../../agent/ports/files.js'
import type { HttpClient } from '../../agent/ports/http.js'
import { ownContainerId } from './own-container.js'

const TIMEOUT_MS = 5000
const MAX_BYTES = 4 * 1024 * 1024

export interface DockerNode {
  readonly files: Pick<Files, 'read'>
  readonly http: Pick<HttpClient, 'request'>
  /** `attestation.docker.socket_path`. */
  readonly socketPath: string
  /** The host name, which engines set to the first 12 digits of the container's id unless told otherwise. */
  readonly hostname: string
}

interface Container {
  readonly id: string
  readonly image: string
}

/**
 * An agent that runs in a container, by the container's id and image. The id comes from what the engine mounted into
 * the container or from the control group; where neither names it, from a host name that looks like one, but then only
 * if the engine knows a running container of that id. The image's name is known to the engine alone: without its
 * socket the evidence goes without, for the id is what tells nodes apart.
 */
export function dockerNodeAttestor(node: DockerNode): NodeAttestor {
  const named = async (signal: AbortSignal): Promise<Container | null> =>
    /^[0-9a-f]{12}$/.test(node.hostname) ? await inspect(node, node.hostname, signal) : null
  const find = async (signal: AbortSignal): Promise<{ id: string; image: string | null } | null> => {
    const own = await ownContainerId(node.files)
    return own ? { id: own, image: (await inspect(node, own, signal))?.image ?? null } : await named(signal)
  }
  return {
    type: 'docker',
    applies: async (signal) => (await ownContainerId(node.files)) !== null || (await named(signal)) !== null,
    evidence: async (signal) => {
      const container = await find(signal)
      if (!container) {
        throw new AgentError(
          'platform.unavailable',
          `the agent cannot find its own container: mount the engine's socket at ${node.socketPath}, or set attestation.type to unix`,
        )
      }
      const image = container.image === null ? {} : { image_name: container.image }
      return { type: 'docker', evidence: { container_id: container.id, ...image } }
    },
  }
}

/** The running container whose id begins so; null where the engine is away or knows none. */
async function inspect(node: DockerNode, id: string, signal: AbortSignal): Promise<Container | null> {
  try {
    const response = await node.http.request({
      method: 'GET',
      url: `http://localhost/containers/${id}/json`,
      unixSocket: node.socketPath,
      timeoutMs: TIMEOUT_MS,
      maxBytes: MAX_BYTES,
      signal,
      withoutIdentity: true,
    })
    return response.status === 200 ? parse(response.body.toString('utf8'), id) : null
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof AgentError) return null
    throw error
  }
}

/** A container may bear the name of another's id, so the id itself must begin as asked. */
function parse(body: string, asked: string): Container | null {
  try {
    const { Id, Config, State } = JSON.parse(body) as {
      Id?: unknown
      Config?: { Image?: unknown } | null
      State?: { Running?: unknown } | null
    }
    if (typeof Id !== 'string' || !/^[0-9a-f]{64}$/.test(Id) || !Id.startsWith(asked)) return null
    if (typeof Config?.Image !== 'string' || State?.Running !== true) return null
    return { id: Id, image: Config.Image }
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return null
    throw error
  }
}

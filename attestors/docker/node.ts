import type { NodeAttestor } from '../../agent/agent-svid/evidence.js'
import { AgentError } from '../../agent/errors.js'
import type { Files } from '../../agent/ports/files.js'
import type { HttpClient } from '../../agent/ports/http.js'
import { EngineApi } from './engine-api.js'
import { ownContainerId } from './own-container.js'

const TIMEOUT_MS = 5000

export interface DockerNode {
  readonly files: Pick<Files, 'read'>
  readonly http: Pick<HttpClient, 'request' | 'stream'>
  /** `attestation.docker.socket_path`. */
  readonly socketPath: string
  /** The host name, which engines set to the first 12 digits of the container's id unless told otherwise. */
  readonly hostname: string
}

interface OwnContainer {
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
  const named = async (signal: AbortSignal): Promise<OwnContainer | null> =>
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
async function inspect(node: DockerNode, id: string, signal: AbortSignal): Promise<OwnContainer | null> {
  try {
    const found = await new EngineApi(node).inspect(id, TIMEOUT_MS, signal)
    return found?.state === 'running' ? { id: found.id, image: found.imageName } : null
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof AgentError) return null
    throw error
  }
}

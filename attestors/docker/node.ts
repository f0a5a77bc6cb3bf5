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
  /** The host name, which engines set to the first 12 digits of the container's id by default. */
  readonly hostname: string
}

interface OwnContainer {
  readonly id: string
  readonly image: string
}

/**
 * An agent that runs in a container, identified by the container's id and image. The id comes from the engine's mounts or
 * the control group; if neither names it, from a host name that looks like an id, but only if the engine knows a running
 * container with it. Only the engine knows the image's name: without its socket the evidence has no image.
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

/** The running container with this id prefix; null if the engine does not answer or knows none. */
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

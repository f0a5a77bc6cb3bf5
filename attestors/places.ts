import type { Place, PlaceFinder } from '../agent/attestation/place.js'
import { AgentError } from '../agent/errors.js'
import type { Kernel } from '../agent/ports/kernel.js'
import type { KubernetesWorkloads } from './kubernetes/create.js'
import { placeOf } from './kubernetes/pod-id.js'
import { containerOf } from './shared/cgroup.js'

/** The length of ids in `docker ps`; shorter prefixes may be ambiguous. */
const SHORTEST_ID = 12

/** Finds containers by control groups, and pods by the known pods. Sends no request to an engine. */
export function placeFinder(
  { ownCgroup }: Pick<Kernel, 'ownCgroup'>,
  kubernetes: Pick<KubernetesWorkloads, 'podsNamed'> | null,
): PlaceFinder {
  return {
    container(id) {
      if (!/^[0-9a-f]+$/.test(id) || id.length < SHORTEST_ID || id.length > 64) {
        throw new AgentError(
          'request.invalid',
          `a container is named by its id, ${SHORTEST_ID} to 64 hex digits (docker ps --no-trunc shows it)`,
        )
      }
      return {
        how: `container ${id}`,
        containerOf(cgroup) {
          const found = containerOf(cgroup, ownCgroup)
          if (found.kind !== 'container') return null
          const own = [found.container, ...found.others].find(({ containerId }) => containerId.startsWith(id))
          return own ? { id: own.containerId, name: null } : null
        },
      }
    },
    async pod({ namespace, name }, signal): Promise<Place> {
      const which = `${namespace}/${name}`
      if (!kubernetes)
        throw new AgentError('admin.not_found', `pod ${which} is not known: the agent asks no Kubernetes`)
      const pods = await kubernetes.podsNamed({ namespace, name }, signal)
      if (pods.length === 0) {
        throw new AgentError('admin.not_found', `Kubernetes shows no pod ${which} on the node of this agent`)
      }
      const names = pods.flatMap(({ containers }) => containers.map((container) => container.name))
      return {
        how: `pod ${which} (uid ${pods.map(({ uid }) => uid).join(', ')}) with containers ${names.join(', ') || 'none yet'}`,
        containerOf(cgroup) {
          const where = placeOf(containerOf(cgroup, ownCgroup))
          if (where.kind === 'none') return null
          for (const { podUid, containerId } of where.places) {
            const pod = pods.find(({ uid, hash }) => uid === podUid || hash === podUid)
            const container = pod?.containers.find(({ id }) => id === containerId)
            if (container) return { id: containerId, name: container.name }
          }
          return null
        },
      }
    },
  }
}

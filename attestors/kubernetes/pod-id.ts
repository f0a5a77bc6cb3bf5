import type { Container, ContainerOf } from '../shared/cgroup.js'
import type { PodPlace } from './pods.js'

export type Where =
  /** Usually one; the first known one is used. */
  | { readonly kind: 'pod'; readonly places: readonly [PodPlace, ...PodPlace[]] }
  | { readonly kind: 'none'; readonly why: string }

/**
 * The pod and container of a process, by its control groups. Only groups below the kubelet's are used, because any user
 * can give groups of their own any name.
 */
export function placeOf(found: ContainerOf): Where {
  if (found.kind === 'none') return { kind: 'none', why: 'not in a container' }
  if (found.kind === 'ambiguous') return { kind: 'none', why: `control groups contradict one another: ${found.why}` }
  const [first, ...others] = [found.container, ...found.others].flatMap(inPod)
  if (first) return { kind: 'pod', places: [first, ...others] }
  const { containerId, podUid } = found.container
  return {
    kind: 'none',
    why: podUid
      ? `the control group of container ${containerId} is not below one of the kubelet's`
      : `container ${containerId} is in no pod`,
  }
}

function inPod({ containerId, podUid, trusted }: Container): PodPlace[] {
  return trusted === 'kubepods' && podUid !== null ? [{ podUid, containerId }] : []
}

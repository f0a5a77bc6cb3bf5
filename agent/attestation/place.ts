/** A container as its control group names it. */
export interface ContainerRef {
  readonly id: string
  /** Its name in its pod; null outside a pod. */
  readonly name: string | null
}

/** The containers that an administrator named; their processes are found by control group. */
export interface Place {
  /** How the containers were found, for people. */
  readonly how: string
  /** The container of this place that contains a process with this `/proc/PID/cgroup`, or null. */
  containerOf(cgroup: string): ContainerRef | null
}

/** Finds containers and pods by the names that platforms give them. */
export interface PlaceFinder {
  /** By the id or a prefix of it. */
  container(id: string): Place
  /** Throws `admin.not_found` if the platform shows no such pod on this node. */
  pod(pod: PodName, signal: AbortSignal): Promise<Place>
}

export interface PodName {
  readonly namespace: string
  readonly name: string
}

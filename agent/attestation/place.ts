/** A container as control groups name it. */
export interface ContainerRef {
  readonly id: string
  /** Its name in its pod; null outside of pods. */
  readonly name: string | null
}

/** Where an administrator's words lead to: processes are known by their control groups. */
export interface Place {
  /** How the containers were found, for people. */
  readonly how: string
  /** The container of this place that a process with this `/proc/PID/cgroup` is in, or null. */
  containerOf(cgroup: string): ContainerRef | null
}

/** Knows the names that platforms give to processes. */
export interface PlaceFinder {
  /** By the id, or its beginning. */
  container(id: string): Place
  /** Throws `admin.not_found` where the platform shows no such pod on this node. */
  pod(pod: PodName, signal: AbortSignal): Promise<Place>
}

export interface PodName {
  readonly namespace: string
  readonly name: string
}

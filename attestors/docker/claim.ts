import type { CgroupPlace, Container } from '../shared/cgroup.js'
import { cgroupLines, pathTo } from '../shared/cgroup-lines.js'
import { rootMount } from '../shared/mountinfo.js'

/** The evidence of a process for a container that it may be in. */
export interface Claim {
  readonly containerId: string
  /** The container's own groups in the process's cgroup file; empty if the evidence is its mounts. */
  readonly places: readonly CgroupPlace[]
  /** Its root mount, if the evidence is its mounts. */
  readonly rootMount: string | null
  /** A user other than root may have forged it. */
  readonly doubtful: boolean
}

/** Where the first process of a container is, as the kernel shows it. */
export interface FirstProcess {
  /** Path by hierarchy. */
  readonly cgroup: ReadonlyMap<string, string>
  readonly rootMount: string | null
}

export function claimOf({ containerId, places, madeByRoot }: Container): Claim {
  return { containerId, places, rootMount: null, doubtful: !madeByRoot }
}

export function firstProcess(cgroup: string, mountinfo: string): FirstProcess {
  const lines = cgroupLines(cgroup)
  return {
    cgroup: new Map(lines.map((line) => [line.hierarchy, pathTo(line, line.segments.length)])),
    rootMount: rootMount(mountinfo),
  }
}

/**
 * Whether the container's first process is in the claimed control group, or below it, in each hierarchy that names the
 * container. A group of the same name elsewhere is a forgery, because only root can move the container's processes.
 */
export function holds(claim: Claim, { cgroup, rootMount }: FirstProcess): boolean {
  if (claim.rootMount !== null) return claim.rootMount === rootMount
  return (
    claim.places.length > 0 &&
    claim.places.every(({ hierarchy, path }) => {
      const own = cgroup.get(hierarchy)
      return own === path || (own?.startsWith(`${path}/`) ?? false)
    })
  )
}

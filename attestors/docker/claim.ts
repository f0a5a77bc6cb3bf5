import type { CgroupPlace, Container } from '../shared/cgroup.js'
import { cgroupLines, pathTo } from '../shared/cgroup-lines.js'
import { rootMount } from '../shared/mountinfo.js'

/** What a process shows of a container that it may be in. */
export interface Claim {
  readonly containerId: string
  /** The container's own groups as the process shows them; none where its mounts speak for it. */
  readonly places: readonly CgroupPlace[]
  /** Its root mount, where its mounts speak for it. */
  readonly rootMount: string | null
  /** Somebody other than root may have made it up. */
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
 * Whether the container's first process is where the claim says that the container is: in the same control group of
 * each hierarchy that names it, or below. A group of the same name elsewhere is a forgery, for nobody but root moves a
 * container's processes there.
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

import { type CgroupLine, cgroupLines, pathTo, sharedDepth } from './cgroup-lines.js'
import { belongsToUser, containerName, isUnderKubepods, madeByRoot, podUidOf, type Runtime } from './cgroup-names.js'

/** The control group of a container, in one hierarchy. */
export interface CgroupPlace {
  /** `memory`, `name=systemd`, and the empty text for cgroup v2. */
  readonly hierarchy: string
  /** As the agent sees it: `/../…` if the agent has a cgroup namespace of its own. */
  readonly path: string
}

export interface Container {
  /** 64 lower-case hex digits. */
  readonly containerId: string
  /** In Kubernetes' form (a static pod's: 32 hex digits, the hash of its manifest); null outside pods. */
  readonly podUid: string | null
  readonly runtime: Runtime
  /**
   * `kubepods`: only the kubelet, its runtime or root can have put the process there. `engine-must-confirm`: a delegated
   * group can have any name, so it is believed only if the engine says that the container's first process is in it too.
   */
  readonly trusted: 'kubepods' | 'engine-must-confirm'
  /** False if a user other than root may have created the group: below that of a user, a service or a container. */
  readonly madeByRoot: boolean
  /** The container's own group in each hierarchy that names it. */
  readonly places: readonly CgroupPlace[]
}

export type ContainerOf =
  /** `others`: containers further down the path, in order of precedence if the first is unknown. */
  | { readonly kind: 'container'; readonly container: Container; readonly others: readonly Container[] }
  | { readonly kind: 'none' }
  /** Hierarchies contradict one another, so no container is assumed. */
  | { readonly kind: 'ambiguous'; readonly why: string }

/**
 * The container that a process is in, by its `/proc/PID/cgroup` alone. The outermost one is used, because it may have
 * created the groups below it. A container that the agent is in too is the machine (an engine in a container, a Kubernetes
 * node in a container), so it comes last.
 *
 * `cgroup`: the text of `/proc/PID/cgroup`; `own`: that of the agent's. Pure; throws nothing, whatever the texts.
 */
export function containerOf(cgroup: string, own: string): ContainerOf {
  if (last?.cgroup !== cgroup || last.own !== own) last = { cgroup, own, found: find(cgroup, own) }
  return last.found
}

/** Cached, because the same text is parsed several times in a row. */
let last: { readonly cgroup: string; readonly own: string; readonly found: ContainerOf } | null = null

function find(cgroup: string, own: string): ContainerOf {
  const lines = cgroupLines(cgroup)
  const ownLines = new Map(cgroupLines(own).map((line) => [line.hierarchy, line]))
  const ofUser = lines.some((line) => line.segments.some(belongsToUser))
  const paths = lines.map((line) => containersOn(line, sharedDepth(line, ownLines.get(line.hierarchy)), ofUser))
  const apart = paths.map((path) => path.apart)
  const enclosing = paths.map((path) => path.enclosing)

  const outermost = firstsOf(apart).length > 0 ? firstsOf(apart) : firstsOf(enclosing)
  if (outermost.length > 1) return { kind: 'ambiguous', why: `hierarchies name containers ${outermost.join(' and ')}` }
  const found = new Map<string, Container>()
  for (const container of [...apart.flat(), ...enclosing.flat()]) {
    const known = found.get(container.containerId)
    if (known?.podUid && container.podUid && known.podUid !== container.podUid) {
      return { kind: 'ambiguous', why: `hierarchies name different pods for container ${container.containerId}` }
    }
    found.set(container.containerId, known ? merged(known, container) : container)
  }
  const [container, ...others] = found.values()
  return container ? { kind: 'container', container, others } : { kind: 'none' }
}

interface Path {
  /** Outermost first. */
  readonly apart: readonly Container[]
  /** Containers that the agent is in too, innermost first. */
  readonly enclosing: readonly Container[]
}

function containersOn(line: CgroupLine, shared: number, ofUser: boolean): Path {
  const apart: Container[] = []
  const enclosing: Container[] = []
  line.segments.forEach((segment, at) => {
    const name = containerName(segment)
    if (!name) return
    const podUid = podUidOf(name.slice ?? line.segments[at - 1] ?? '')
    const ofKubelet = podUid !== null && !ofUser && (name.slice === null ? isInPod : standsAlone)(line, at, shared)
    const container: Container = {
      containerId: name.id,
      podUid,
      runtime: name.runtime,
      trusted: ofKubelet ? 'kubepods' : 'engine-must-confirm',
      madeByRoot: madeByRoot(line.segments.slice(shared, at)),
      places: [{ hierarchy: line.hierarchy, path: pathTo(line, at + 1) }],
    }
    if (at >= shared) apart.push(container)
    else enclosing.unshift(container)
  })
  return { apart, enclosing }
}

function isInPod(line: CgroupLine, at: number, shared: number): boolean {
  return isUnderKubepods(line.segments.slice(0, at - 1), shared, line.hidden > 0)
}

/** A name with slice and container is at the top, or below the service of the runtime. */
function standsAlone(line: CgroupLine, at: number, shared: number): boolean {
  const above = line.segments.slice(shared, at)
  return above.length === 0 || (above.length === 2 && above[0] === 'system.slice' && madeByRoot(above))
}

/** The distinct first containers of these paths. */
function firstsOf(paths: readonly (readonly Container[])[]): readonly string[] {
  return [...new Set(paths.flatMap(([first]) => (first ? [first.containerId] : [])))]
}

function merged(one: Container, other: Container): Container {
  return {
    ...one,
    podUid: one.podUid ?? other.podUid,
    runtime: one.runtime === 'unknown' ? other.runtime : one.runtime,
    trusted: one.trusted === other.trusted ? one.trusted : 'engine-must-confirm',
    madeByRoot: one.madeByRoot && other.madeByRoot,
    places: [...one.places, ...other.places],
  }
}

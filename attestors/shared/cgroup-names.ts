/** The runtime that uses such a name. `unknown`: a bare id, which several runtimes with the cgroupfs driver use. */
export type Runtime = 'docker' | 'containerd' | 'cri-o' | 'podman' | 'unknown'

export interface ContainerName {
  /** 64 lower-case hex digits. */
  readonly id: string
  readonly runtime: Runtime
  /** The slice, if the name contains both (`kubepods-podUID.slice:cri-containerd:ID`), else null. */
  readonly slice: string | null
}

const RUNTIMES: ReadonlyMap<string, Runtime> = new Map([
  ['docker', 'docker'],
  ['cri-containerd', 'containerd'],
  ['containerd', 'containerd'],
  ['nerdctl', 'containerd'],
  ['crio', 'cri-o'],
  ['libpod', 'podman'],
  ['libpod-payload', 'podman'],
])
/** `ID`, `docker-ID.scope`, `crio-ID`, `libpod-payload-ID`. */
const NAME = /^(?:([a-z][a-z-]*)-)?([0-9a-f]{64})(?:\.scope)?$/
/** A name in systemd's syntax that a runtime without systemd used literally: `SLICE:PREFIX:ID`. */
const COLONS = /^([^:]+\.slice):([a-z-]+):([0-9a-f]{64})$/

const UID = '[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}'
/** A slice's name contains its path: `[PREFIX-]kubepods[-QOS]-podUID.slice`. */
const POD = new RegExp(`^(?:pod|(?:[\\w.\\\\]+-)*?kubepods(?:-besteffort|-burstable)?-pod)(${UID})(?:\\.slice)?$`)
const KUBEPODS = /^(?:kubepods|(?:[\w.\\]+-)*?kubepods\.slice)$/
const QOS = /^(?:besteffort|burstable|guaranteed|(?:[\w.\\]+-)*?kubepods-(?:besteffort|burstable)\.slice)$/
/** The `--cgroup-root` of a kubelet: that of kind, or a slice. */
const ROOT = /^(?:kubelet|[\w.\\-]+\.slice)$/

/** Groups whose owner, a user, may create groups below them. */
const USERS = /^(?:user\.slice|user-\d+\.slice|user@\d+\.service)$/
const HANDED_OVER = /^(?:user|lxc|lxc\..*|.*\.service|.*\.scope)$/
/** Services of root that have containers below them. */
const ENGINES = /^(?:containerd|docker|crio|k3s|k3s-agent|rke2-server|rke2-agent)\.service$/

/** The container of a control group with this name, or null. Monitors of containers (conmon) do not count. */
export function containerName(segment: string): ContainerName | null {
  const plain = NAME.exec(segment)
  if (plain) return named(plain[2], plain[1], null)
  const colons = COLONS.exec(segment)
  return colons ? named(colons[3], colons[2], colons[1] ?? null) : null
}

/** The uid of the pod of a control group with this name, in Kubernetes' form; a static pod's has no dashes. */
export function podUidOf(segment: string): string | null {
  return POD.exec(segment)?.[1]?.replaceAll('_', '-') ?? null
}

/** Whether a group of this name belongs to a user, with everything below it. */
export function belongsToUser(segment: string): boolean {
  return USERS.test(segment)
}

/**
 * Whether only root can create groups below these, outermost first: none of them is delegated. systemd delegates services
 * and scopes (`Delegate=`), but no slices other than a user's.
 */
export function madeByRoot(above: readonly string[]): boolean {
  return above.every(
    (segment, i) =>
      (i === 1 && above[0] === 'system.slice' && ENGINES.test(segment)) ||
      !(HANDED_OVER.test(segment) || USERS.test(segment) || containerName(segment)),
  )
}

/**
 * Whether a pod's group below these, outermost first, is one of the kubelet's: `[ROOT…] kubepods [QOS]`.
 *
 * `shared`: number of them that the agent is below too, which belong to the machine whatever their names. `cut`: the
 * beginning of the path is outside the agent's cgroup namespace, and so may be missing.
 */
export function isUnderKubepods(above: readonly string[], shared: number, cut: boolean): boolean {
  const rest = [...above]
  if (QOS.test(rest.at(-1) ?? '')) rest.pop()
  if (KUBEPODS.test(rest.at(-1) ?? '')) rest.pop()
  else return cut && rest.length === 0
  const apart = rest.slice(shared)
  return apart.every((segment) => ROOT.test(segment)) && madeByRoot(apart)
}

function named(id: string | undefined, prefix: string | undefined, slice: string | null): ContainerName | null {
  if (id === undefined) return null
  const runtime = prefix === undefined ? 'unknown' : RUNTIMES.get(prefix)
  return runtime ? { id, runtime, slice } : null
}

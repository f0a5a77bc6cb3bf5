/** Who names control groups so. `unknown`: a bare id, as several runtimes with the cgroupfs driver write it. */
export type Runtime = 'docker' | 'containerd' | 'cri-o' | 'podman' | 'unknown'

export interface ContainerName {
  /** 64 lower-case hex digits. */
  readonly id: string
  readonly runtime: Runtime
  /** The pod, where one name holds both (`kubepods-podUID.slice:cri-containerd:ID`). */
  readonly podUid: string | null
}

const RUNTIMES: Readonly<Record<string, Runtime>> = {
  docker: 'docker',
  'cri-containerd': 'containerd',
  containerd: 'containerd',
  nerdctl: 'containerd',
  crio: 'cri-o',
  libpod: 'podman',
  'libpod-payload': 'podman',
}
/** `ID`, `docker-ID.scope`, `crio-ID`, `libpod-payload-ID`. */
const NAME = /^(?:([a-z][a-z-]*)-)?([0-9a-f]{64})(?:\.scope)?$/
/** What a runtime without systemd makes of a name that was meant for it: `SLICE:PREFIX:ID`. */
const COLONS = /^([^:]+\.slice):([a-z-]+):([0-9a-f]{64})$/
const UID = '[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}'
const POD = new RegExp(`^pod(${UID})$`)
/** systemd repeats the path in the name of a slice: `[PREFIX-]kubepods[-QOS]-podUID.slice`. */
const POD_SLICE = new RegExp(`^(?:[a-z0-9]+-)*?kubepods(?:-besteffort|-burstable)?-pod(${UID})\\.slice$`)

/** The container that a control group of this name is for, or null. Monitors of containers (conmon) are none. */
export function containerName(segment: string): ContainerName | null {
  const plain = NAME.exec(segment)
  if (plain) return named(plain[2], plain[1], null)
  const colons = COLONS.exec(segment)
  return colons ? named(colons[3], colons[2], podUidOf(colons[1] ?? '')) : null
}

/** The pod that a control group of this name is for, as Kubernetes writes its uid; a static pod's has no dashes. */
export function podUidOf(segment: string): string | null {
  const uid = (POD.exec(segment) ?? POD_SLICE.exec(segment))?.[1]
  return uid?.replaceAll('_', '-') ?? null
}

function named(id: string | undefined, prefix: string | undefined, podUid: string | null): ContainerName | null {
  if (id === undefined) return null
  if (prefix === undefined) return { id, runtime: 'unknown', podUid }
  const runtime = RUNTIMES[prefix]
  return runtime ? { id, runtime, podUid } : null
}

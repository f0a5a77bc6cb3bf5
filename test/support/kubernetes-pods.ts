import { createHash } from 'node:crypto'

/** What a test wants of a pod; all of it may be left out. */
export interface PodWish {
  readonly name?: string
  readonly namespace?: string
  readonly uid?: string
  readonly nodeName?: string
  readonly serviceAccount?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly owners?: readonly { readonly kind: string; readonly name: string; readonly controller?: boolean }[]
  readonly containers?: readonly ContainerWish[]
  readonly initContainers?: readonly ContainerWish[]
  readonly ephemeralContainers?: readonly ContainerWish[]
  /** Bytes of managed fields, which clients write and nobody here reads; default 4 KB. */
  readonly bulk?: number
}

export interface ContainerWish {
  readonly name?: string
  readonly image?: string
  /** 64 hex digits; null: its status shows none yet. */
  readonly id?: string | null
  readonly imageId?: string
  readonly state?: 'running' | 'waiting' | 'terminated'
  /** Of the id; default `containerd`. */
  readonly runtime?: string
}

export type PodObject = ReturnType<typeof podObject>

export const NODE = 'worker-1'

/** 64 hex digits that are the same for the same text. */
export function containerId(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

/** A uid that is the same for the same text. */
export function podUid(text: string): string {
  const hex = createHash('md5').update(text).digest('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

/** A pod as the API server shows it, with the parts that selectors do not need. */
export function podObject(wish: PodWish = {}) {
  const { name = 'web-1', namespace = 'shop', containers = [{}] } = wish
  const uid = wish.uid ?? podUid(`${namespace}/${name}`)
  const all = (list: readonly ContainerWish[] | undefined, kind: string) =>
    (list ?? []).map((one, i) => ({ name: `${kind}${i}`, image: 'registry.example/web:1.2', ...one }))
  const ordinary = all(containers, 'app')
  const init = all(wish.initContainers, 'init')
  const ephemeral = all(wish.ephemeralContainers, 'debug')
  return {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: {
      name,
      namespace,
      uid,
      resourceVersion: '1',
      creationTimestamp: '2026-01-01T00:00:00Z',
      labels: wish.labels ?? { app: 'web' },
      annotations: wish.annotations ?? {},
      ownerReferences: (wish.owners ?? []).map((owner) => ({
        apiVersion: 'apps/v1',
        uid: podUid(owner.name),
        ...owner,
      })),
      managedFields: managedFields(wish.bulk ?? 4_000),
    },
    spec: {
      nodeName: wish.nodeName ?? NODE,
      serviceAccountName: wish.serviceAccount ?? 'web',
      containers: ordinary.map(specOf),
      initContainers: init.map(specOf),
      ephemeralContainers: ephemeral.map(specOf),
    },
    status: {
      phase: 'Running',
      conditions: [{ type: 'Ready', status: 'True', lastProbeTime: null }],
      containerStatuses: ordinary.map((one) => statusOf(uid, one)),
      initContainerStatuses: init.map((one) => statusOf(uid, one)),
      ephemeralContainerStatuses: ephemeral.map((one) => statusOf(uid, one)),
    },
  }
}

/** The line of a process's `/proc/PID/cgroup` in this pod, cgroup v2 and the systemd driver. */
export function cgroupOf(uid: string, container: string): string {
  const slice = `kubepods-burstable-pod${uid.replaceAll('-', '_')}.slice`
  return `0::/kubepods.slice/kubepods-burstable.slice/${slice}/cri-containerd-${container}.scope\n`
}

type Container = ContainerWish & { readonly name: string; readonly image: string }

const specOf = ({ name, image }: Container) => ({
  name,
  image,
  env: [{ name: 'PASSWORD', value: 'never kept' }],
  terminationMessagePath: '/dev/termination-log',
})

function statusOf(uid: string, { name, image, id, imageId, state = 'running', runtime = 'containerd' }: Container) {
  const own = id === undefined ? containerId(`${uid}/${name}`) : id
  return {
    name,
    ready: state === 'running',
    restartCount: 0,
    image: `docker.io/${image}`,
    imageID: imageId ?? `registry.example/web@sha256:${containerId(image)}`,
    ...(own !== null && { containerID: `${runtime}://${own}` }),
    state: { [state]: state === 'running' ? { startedAt: '2026-01-01T00:00:01Z' } : {} },
  }
}

function managedFields(bytes: number) {
  const text = '"items":[{"k:{\\"type\\":\\"Ready\\"}":{}}]'
  return [{ manager: 'kubelet', operation: 'Update', fieldsV1: { 'f:status': text.repeat(bytes / text.length) } }]
}

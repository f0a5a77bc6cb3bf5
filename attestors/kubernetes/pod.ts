import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'

/** What is kept of one pod: what selectors are made of, and nothing else, whatever the size of the object. */
export interface Pod {
  readonly uid: string
  /**
   * The uid that the kubelet gives a static pod, which is the one in control groups: a hash of the manifest. The API
   * server shows such a pod through a mirror that has a uid of its own. Null for any other pod.
   */
  readonly hash: string | null
  readonly namespace: string
  readonly name: string
  readonly serviceAccount: string
  readonly nodeName: string
  readonly labels: ReadonlyMap<string, string>
  /** Annotations of the keys that name an AI agent. */
  readonly annotations: ReadonlyMap<string, string>
  readonly owners: readonly PodOwner[]
  readonly containers: readonly PodContainer[]
  /** It has containers that its status does not show as running. */
  readonly starting: boolean
}

export interface PodOwner {
  readonly kind: string
  readonly name: string
  /** The one that manages the pod. */
  readonly controller: boolean
}

/** One that runs: ordinary, init or ephemeral. */
export interface PodContainer {
  /** Without the runtime's scheme. */
  readonly id: string
  readonly name: string
  /** As the pod's specification names it. */
  readonly image: string
  /** As the runtime names what it runs: mostly `REPOSITORY@sha256:…`. */
  readonly imageId: string
}

export const CLIENT_ID = 'authsec.ai/client-id'
export const AGENT_TYPE = 'authsec.ai/agent-type'

const MIRROR = 'kubernetes.io/config.mirror'
const HASH = 'kubernetes.io/config.hash'

const texts = z.record(z.string(), z.string()).nullish()
const containers = z.array(z.object({ name: z.string(), image: z.string().optional() })).nullish()
const statuses = z
  .array(
    z.object({
      name: z.string(),
      containerID: z.string().optional(),
      image: z.string().optional(),
      imageID: z.string().optional(),
      state: z.object({ terminated: z.unknown().optional(), waiting: z.unknown().optional() }).nullish(),
    }),
  )
  .nullish()

const podShape = z.object({
  metadata: z.object({
    uid: z.string().min(1),
    name: z.string().min(1),
    namespace: z.string().min(1),
    labels: texts,
    annotations: texts,
    ownerReferences: z
      .array(z.object({ kind: z.string(), name: z.string(), controller: z.boolean().nullish() }))
      .nullish(),
  }),
  spec: z.object({
    nodeName: z.string().optional(),
    serviceAccountName: z.string().optional(),
    containers,
    initContainers: containers,
    ephemeralContainers: containers,
  }),
  status: z
    .object({
      containerStatuses: statuses,
      initContainerStatuses: statuses,
      ephemeralContainerStatuses: statuses,
    })
    .nullish(),
})

/** The pod of an object of the API (`v1`, Pod), or null where the object is something else. */
export function parsePod(object: unknown): Pod | null {
  const { success, data } = podShape.safeParse(object)
  if (!success) return null
  const { metadata, spec, status } = data
  const annotations = metadata.annotations ?? {}
  const images = new Map(
    [spec.containers, spec.initContainers, spec.ephemeralContainers].flatMap((list) =>
      (list ?? []).map(({ name, image }) => [name, image ?? ''] as const),
    ),
  )
  const shown = [status?.containerStatuses, status?.initContainerStatuses, status?.ephemeralContainerStatuses].flatMap(
    (list) => (list ?? []).flatMap((one) => running(one, images)),
  )
  return {
    uid: metadata.uid,
    hash: annotations[MIRROR] ?? annotations[HASH] ?? null,
    namespace: metadata.namespace,
    name: metadata.name,
    serviceAccount: spec.serviceAccountName ?? '',
    nodeName: spec.nodeName ?? '',
    labels: new Map(Object.entries(metadata.labels ?? {})),
    annotations: new Map(Object.entries(annotations).filter(([key]) => key === CLIENT_ID || key === AGENT_TYPE)),
    owners: (metadata.ownerReferences ?? []).map(({ kind, name, controller }) => ({
      kind,
      name,
      controller: controller === true,
    })),
    containers: shown,
    // An init container that has ended does not run again.
    starting: images.size > shown.length + (status?.initContainerStatuses ?? []).filter(hasEnded).length,
  }
}

/** Whether both say the same. */
export function samePod(a: Pod, b: Pod): boolean {
  return isDeepStrictEqual(a, b)
}

type ContainerStatus = NonNullable<z.infer<typeof statuses>>[number]

/** A container that waits or has ended has no process; the id that its status shows is that of an earlier run. */
function running({ name, containerID, image, imageID, state }: ContainerStatus, images: ReadonlyMap<string, string>) {
  if (!containerID || state?.terminated || state?.waiting) return []
  const id = containerID.slice(containerID.lastIndexOf('/') + 1)
  return [{ id, name, image: images.get(name) || (image ?? ''), imageId: withoutScheme(imageID ?? '') }]
}

function hasEnded({ state }: ContainerStatus): boolean {
  return state?.terminated !== undefined && state.terminated !== null
}

/** `docker-pullable://nginx@sha256:…`: cri-dockerd writes how the image came. */
function withoutScheme(imageId: string): string {
  return imageId.replace(/^[a-z-]+:\/\//, '')
}

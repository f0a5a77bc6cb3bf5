import { isDeepStrictEqual } from 'node:util'
import * as z from 'zod'

/** The part of a pod that selectors are made of; the rest of the object is not kept. */
export interface Pod {
  readonly uid: string
  /**
   * The kubelet's uid of a static pod, a hash of its manifest, which control groups contain. The API server shows such a pod
   * as a mirror pod with another uid. Null for any other pod.
   */
  readonly hash: string | null
  readonly namespace: string
  readonly name: string
  readonly serviceAccount: string
  readonly nodeName: string
  readonly labels: ReadonlyMap<string, string>
  /** Annotations with keys that name an AI agent. */
  readonly annotations: ReadonlyMap<string, string>
  readonly owners: readonly PodOwner[]
  readonly containers: readonly PodContainer[]
  /** It has containers that its status does not show as running. */
  readonly starting: boolean
}

export interface PodOwner {
  readonly kind: string
  readonly name: string
  /** Whether this owner manages the pod. */
  readonly controller: boolean
}

/** A running container: ordinary, init or ephemeral. */
export interface PodContainer {
  /** Without the runtime's scheme. */
  readonly id: string
  readonly name: string
  /** From the pod's specification. */
  readonly image: string
  /** The runtime's name of the image: usually `REPOSITORY@sha256:…`. */
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

/** Parses an object of the API (`v1`, Pod); null if it is not a pod. */
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
    // An init container that has finished does not run again.
    starting: images.size > shown.length + (status?.initContainerStatuses ?? []).filter(hasEnded).length,
  }
}

/** Whether both are equal. */
export function samePod(a: Pod, b: Pod): boolean {
  return isDeepStrictEqual(a, b)
}

type ContainerStatus = NonNullable<z.infer<typeof statuses>>[number]

/** A waiting or finished container has no process; the id in its status is that of an earlier run. */
function running({ name, containerID, image, imageID, state }: ContainerStatus, images: ReadonlyMap<string, string>) {
  if (!containerID || state?.terminated || state?.waiting) return []
  const id = containerID.slice(containerID.lastIndexOf('/') + 1)
  return [{ id, name, image: images.get(name) || (image ?? ''), imageId: withoutScheme(imageID ?? '') }]
}

function hasEnded({ state }: ContainerStatus): boolean {
  return state?.terminated !== undefined && state.terminated !== null
}

/** Removes the scheme that cri-dockerd adds: `docker-pullable://nginx@sha256:…`. */
function withoutScheme(imageId: string): string {
  return imageId.replace(/^[a-z-]+:\/\//, '')
}

import type { Selectors } from '../../agent/identity/selector.js'
import { type LabelsOfImage, sortLabels } from './image-labels.js'
import type { Inspected, Labels } from './inspected.js'

export interface ContainerSelectorOptions {
  /** `attestation.docker.authsec_labels`: labels may name an AI agent. */
  readonly authsecLabels: boolean
  /** `attestation.docker.image_labels`: with `merged`, labels of the image count as labels of the container. */
  readonly imageLabels: 'separate' | 'merged'
  /** The agent's own account: a selector if a label names an AI agent. */
  readonly tenantId: string
}

export interface ContainerSelectors {
  readonly selectors: Selectors
  /** What was left out, and why. */
  readonly notes: readonly string[]
  /** Labels of the image cannot be distinguished now, so selectors on labels are unavailable. */
  readonly incomplete: boolean
}

const MAX_LABELS = 512
const MAX_KEY = 512
const MAX_VALUE = 4096

const AGENT_LABELS = ['authsec.ai/client-id', 'authsec.ai/agent-type'] as const

/** Whether the container's selectors depend on the labels of its image. */
export function imageMatters({ labels }: Inspected, { authsecLabels, imageLabels }: ContainerSelectorOptions): boolean {
  if (imageLabels === 'separate') return labels.size > 0
  return authsecLabels && AGENT_LABELS.some((key) => labels.has(key))
}

/**
 * The selectors of a container from the engine's answer, in every spelling that is in use. `image`: null if the labels of
 * the image do not matter.
 */
export function selectorsOf(
  container: Inspected,
  image: LabelsOfImage | null,
  options: ContainerSelectorOptions,
): ContainerSelectors {
  const selectors = new Map<string, string>()
  const notes: string[] = []
  const set = (value: string, ...keys: readonly string[]) => {
    for (const key of keys) selectors.set(`docker:${key}`, value)
  }
  set(container.id, 'container-id', 'container_id')
  if (container.name !== '') set(container.name, 'container-name', 'container_name')
  const name = imageName(container)
  if (name === null) notes.push('docker:image-name left out: the container was made from an image id, not a name')
  else set(name, 'image-name', 'image_name', 'image')
  if (container.imageId !== null) {
    set(container.imageId.slice(0, 12), 'image-id', 'image_id')
    set(`sha256:${container.imageId}`, 'image-digest')
  }
  const setLabels = (labels: Labels, prefix: string) => {
    let left = MAX_LABELS
    for (const [key, value] of labels) {
      if (left > 0 && key.length <= MAX_KEY && value.length <= MAX_VALUE) {
        set(value, `${prefix}:${key}`)
        left--
      } else {
        notes.push(`a label left out (${key.slice(0, 40)}): at most ${MAX_LABELS}, of ${MAX_VALUE} characters`)
      }
    }
  }
  const incomplete = image !== null && 'unavailable' in image
  if (incomplete)
    notes.unshift(`labels are unavailable: those of the image cannot be distinguished: ${image.unavailable}`)
  const { operator, image: inherited } = sortLabels(container.labels, image && !incomplete ? image.labels : new Map())
  if (options.imageLabels === 'merged') setLabels(container.labels, 'label')
  else if (!incomplete) {
    setLabels(operator, 'label')
    setLabels(inherited, 'image-label')
  }
  if (options.authsecLabels && !incomplete) setAgent(operator, options.tenantId, selectors)
  return { selectors, notes: notes.slice(0, 8), incomplete }
}

/** A user who may start containers may name any AI agent; the builder of an image may not. */
function setAgent(operator: Labels, tenantId: string, selectors: Map<string, string>): void {
  const [client, type] = AGENT_LABELS.map((key) => operator.get(key))
  if (type) selectors.set('authsec:agent_type', type)
  if (!client) return
  selectors.set('authsec:client_id', client)
  selectors.set('authsec:tenant_id', tenantId)
  selectors.set('authsec:workspace_id', tenantId)
}

/** With a tag, as `docker images` shows it; a reference with a digest is unchanged, because its tag is not used. */
function imageName({ imageName, imageId }: Inspected): string | null {
  const id = /^(?:sha256:)?([0-9a-f]{12,64})$/.exec(imageName)?.[1]
  if (imageName === '' || (id && (imageId === null || imageId.startsWith(id)))) return null
  const last = imageName.slice(imageName.lastIndexOf('/') + 1)
  return imageName.includes('@') || last.includes(':') ? imageName : `${imageName}:latest`
}

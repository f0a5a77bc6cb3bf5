import type { Selectors } from '../../agent/identity/selector.js'
import type { Inspected } from './inspected.js'

export interface FactsOptions {
  /** `attestation.docker.authsec_labels`: labels may name an AI agent. */
  readonly authsecLabels: boolean
  /** The agent's own account, a fact wherever an AI agent is named. */
  readonly tenantId: string
}

export interface ContainerFacts {
  readonly facts: Selectors
  /** What was left out, and why. */
  readonly notes: readonly string[]
}

const MAX_LABELS = 512
const MAX_KEY = 512
const MAX_VALUE = 4096

/** The selectors of a container: what the engine says of it, in every spelling that is in use. */
export function factsOf(container: Inspected, { authsecLabels, tenantId }: FactsOptions): ContainerFacts {
  const facts = new Map<string, string>()
  const notes: string[] = []
  const set = (value: string, ...keys: readonly string[]) => {
    for (const key of keys) facts.set(`docker:${key}`, value)
  }
  set(container.id, 'container-id', 'container_id')
  if (container.name !== '') set(container.name, 'container-name', 'container_name')
  const image = imageName(container)
  if (image === null) notes.push('docker:image-name left out: the container was made from an image id, not a name')
  else set(image, 'image-name', 'image_name', 'image')
  if (container.imageId !== null) {
    set(container.imageId.slice(0, 12), 'image-id', 'image_id')
    set(`sha256:${container.imageId}`, 'image-digest')
  }
  let left = MAX_LABELS
  for (const [key, value] of container.labels) {
    if (left > 0 && key.length <= MAX_KEY && value.length <= MAX_VALUE) {
      set(value, `label:${key}`)
      left--
    } else {
      notes.push(`a label left out (${key.slice(0, 40)}): at most ${MAX_LABELS}, of ${MAX_VALUE} characters`)
    }
  }
  if (authsecLabels) setAgent(container, tenantId, facts)
  return { facts, notes: notes.slice(0, 8) }
}

/** Only what the platform vouches for: whoever may start a container may name any AI agent. */
function setAgent({ labels }: Inspected, tenantId: string, facts: Map<string, string>): void {
  const client = labels.get('authsec.ai/client-id')
  const type = labels.get('authsec.ai/agent-type')
  if (type) facts.set('authsec:agent_type', type)
  if (!client) return
  facts.set('authsec:client_id', client)
  facts.set('authsec:tenant_id', tenantId)
  facts.set('authsec:workspace_id', tenantId)
}

/** With a tag, as `docker images` shows it; a reference with a digest is left as it is, for its tag says nothing. */
function imageName({ imageName, imageId }: Inspected): string | null {
  const id = /^(?:sha256:)?([0-9a-f]{12,64})$/.exec(imageName)?.[1]
  if (imageName === '' || (id && (imageId === null || imageId.startsWith(id)))) return null
  const last = imageName.slice(imageName.lastIndexOf('/') + 1)
  return imageName.includes('@') || last.includes(':') ? imageName : `${imageName}:latest`
}

import { AgentError, messageOf } from '../../agent/errors.js'
import type { EngineEvents } from '../../agent/observability/engine-events.js'
import type { EngineApi } from './engine-api.js'
import type { Inspected, Labels } from './inspected.js'

/** The labels that a container's image was built with, or why they are unavailable. */
export type LabelsOfImage = { readonly labels: Labels } | { readonly unavailable: string }

/** Labels by origin: given to the container, or only to its image. */
export interface SortedLabels {
  readonly operator: Labels
  readonly image: Labels
}

export interface ImageLabelsOptions {
  readonly api: Pick<EngineApi, 'imageLabels'>
  readonly events: Pick<EngineEvents, 'imageLabelsRead' | 'imageLabelsUnavailable'>
}

/** Limit of the characters of all cached labels; an image has a few hundred. */
const MAX_CHARACTERS = 4 * 1024 * 1024
const NONE: Labels = new Map()
const COMPOSE = 'com.docker.compose.'
/** Compose sets these on the images that it builds and on every container that it creates. */
const BY_COMPOSE = new Set(['project', 'service', 'version'].map((name) => COMPOSE + name))

/** The labels of images, requested once per image, because an image id never changes its content. */
export class ImageLabels {
  readonly #known = new Map<string, Labels>()
  #characters = 0

  constructor(private readonly options: ImageLabelsOptions) {}

  /** `unavailable` if the engine does not return them. Throws only the signal's reason. */
  async of(container: Inspected, timeoutMs: number, signal: AbortSignal): Promise<LabelsOfImage> {
    const { imageId, imageName, imagePlatform } = container
    // A container of a directory (podman run --rootfs) has no image.
    if (imageId === null && imageName === '') return { labels: NONE }
    if (imageId === null) return { unavailable: 'the container engine does not name the image' }
    const key = `${imageId} ${imagePlatform ?? ''}`
    const known = this.#known.get(key)
    if (known) return { labels: known }
    const { api, events } = this.options
    try {
      const labels = await api.imageLabels(imageId, imagePlatform, timeoutMs, signal)
      this.#remember(key, labels)
      events.imageLabelsRead(imageId)
      return { labels }
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      events.imageLabelsUnavailable(imageId, error)
      return { unavailable: messageOf(error) }
    }
  }

  #remember(key: string, labels: Labels): void {
    if (!this.#known.has(key)) this.#characters += sizeOf(labels)
    this.#known.set(key, labels)
    for (const [oldest, known] of this.#known) {
      if (this.#characters <= MAX_CHARACTERS) return
      this.#known.delete(oldest)
      this.#characters -= sizeOf(known)
    }
  }
}

/**
 * Separates labels given to the container from those of its image. The engine shows both as one map, so a label with a key
 * and value of the image counts as the image's.
 */
export function sortLabels(labels: Labels, image: Labels): SortedLabels {
  const byCompose = labels.has(`${COMPOSE}config-hash`) && !image.has(`${COMPOSE}config-hash`)
  const operator = new Map<string, string>()
  const fromImage = new Map<string, string>()
  for (const [key, value] of labels) {
    const inherited = image.get(key) === value && !(byCompose && BY_COMPOSE.has(key))
    ;(inherited ? fromImage : operator).set(key, value)
  }
  return { operator, image: fromImage }
}

/** Counts each label with some overhead, so that empty ones are not free. */
function sizeOf(labels: Labels): number {
  let characters = 64
  for (const [key, value] of labels) characters += key.length + value.length + 64
  return characters
}

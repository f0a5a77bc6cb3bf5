import type { Selectors } from '../identity/selector.js'
import type { EntryIndex } from '../svids/entry-index.js'

const OF_CONTAINER = 'docker:label:'
const OF_IMAGE = 'docker:image-label:'

/**
 * The ids of entries that the workload would match if labels of its image counted as labels of the container, as with
 * `attestation.docker.image_labels: merged`; `matched` are those that it does match. At most `limit` in all.
 */
export function lostMatches(
  index: Pick<EntryIndex, 'match'>,
  selectors: Selectors,
  matched: readonly string[],
  limit: number,
): readonly string[] {
  const merged = new Map<string, string>()
  for (const [key, value] of selectors) {
    if (!key.startsWith(OF_IMAGE)) continue
    const asGiven = OF_CONTAINER + key.slice(OF_IMAGE.length)
    if (!selectors.has(asGiven)) merged.set(asGiven, value)
  }
  if (merged.size === 0) return []
  for (const [key, value] of selectors) merged.set(key, value)
  return index.match(merged, [], limit).ids.filter((id) => !matched.includes(id))
}

/**
 * Selectors: properties of a workload, or those that an entry requires. One value per key, compared by exact string
 * equality. Keys carry their platform as a prefix: `unix:uid`, `docker:label:app`, `k8s:ns`.
 */
export type Selectors = ReadonlyMap<string, string>

/** True when every pair of `wanted` is among `selectors`. An empty `wanted` matches nothing, because it would match every process. */
export function covers(selectors: Selectors, wanted: Selectors): boolean {
  if (wanted.size === 0) return false
  for (const [key, value] of wanted) if (selectors.get(key) !== value) return false
  return true
}

/** The part of a selector key before the first colon (`unix`, `docker`, `k8s`, `systemd`, `authsec`). */
export function platformOf(key: string): string {
  const colon = key.indexOf(':')
  return colon === -1 ? key : key.slice(0, colon)
}

import type { Entry } from '../identity/entry.js'
import { platformOf } from '../identity/selector.js'
import type { SvidStore } from '../svids/store.js'

/** Selectors that bind a digest to an owner: a user, or a container, pod or unit that users cannot put a process into. */
const USER = ['unix:uid', 'unix:user', 'unix:username']
const PLACES: ReadonlySet<string> = new Set(['docker', 'k8s', 'authsec', 'systemd'])

/**
 * Whether an entry requires the digest of a program but no selector of its owner. Any user of the node can have such a
 * process: they can run the program under a tracer, or show its file to the agent through a file system of their own.
 */
export function isLoneDigest(selectors: Entry['selectors']): boolean {
  if (!selectors.has('unix:sha256')) return false
  return ![...selectors.keys()].some((key) => USER.includes(key) || PLACES.has(platformOf(key)))
}

/** Calls `found` once for each such entry. */
export function watchLoneDigests(
  store: Pick<SvidStore, 'current' | 'observe'>,
  found: (entry: Entry) => void,
): Disposable {
  const said = new Set<string>()
  return store.observe(({ entries: changed }) => {
    if (changed !== 'all') return
    const { entries } = store.current
    for (const id of said) if (!entries.has(id)) said.delete(id)
    for (const [id, entry] of entries) {
      if (said.has(id) || !isLoneDigest(entry.selectors)) continue
      said.add(id)
      found(entry)
    }
  })
}

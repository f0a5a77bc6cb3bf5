import type { SvidStore } from '../svids/store.js'

/**
 * Whether any entry has required a selector key since the start, because some selectors are costly to find. `first` is
 * called once, when the first such entry appears, before other observers. Stays true if the entry is removed, because it
 * may return.
 */
export function askedFor(store: Pick<SvidStore, 'current' | 'observe'>, key: string, first: () => void): () => boolean {
  let asked = false
  const watching = store.observe(({ entries }) => {
    if (asked || entries !== 'all') return
    for (const { selectors } of store.current.entries.values()) {
      if (!selectors.has(key)) continue
      asked = true
      watching[Symbol.dispose]()
      first()
      return
    }
  })
  return () => asked
}

import type { SvidStore } from '../svids/store.js'

/**
 * Whether any entry has asked for a selector key since the start: what is costly to find out is looked for only then.
 * `first` is called once, when the first such entry appears, before anybody else learns of that entry. An entry that
 * goes away again changes nothing: it may come back.
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

import type { Authority } from '../identity/trust-bundle.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { EntryState } from '../store/snapshot.js'

/** Where the server names authorities: beside the agent's own certificate, beside a workload's, at `/bundle/{id}`. */
export type BundleSource = 'attest' | 'issue' | 'bundle'

/** A source, and the fingerprints of what it named last, in order. */
export type Named = readonly [source: BundleSource, fingerprints: readonly string[]]

/**
 * Compares what the sources of authorities say, and tells of each change once. Whatever they say, authorities of SVIDs
 * in use stay in the bundles (AuthorityBook): nothing here decides.
 */
export class BundleSources {
  readonly #named = new Map<BundleSource, readonly string[]>()
  /** What was told last, as a text that is equal where nothing changed; empty: nothing to tell. */
  #difference = ''
  #orphaned = ''

  constructor(
    private readonly events: Pick<SyncEvents, 'sourcesDiffer' | 'sourcesAgree' | 'svidsUnnamed' | 'svidsNamed'>,
  ) {}

  /** The source named these; none at all says nothing, for some servers send no bundle along. */
  heard(source: BundleSource, authorities: readonly Authority[], states: ReadonlyMap<string, EntryState>): void {
    if (authorities.length === 0) return
    this.#named.set(source, [...new Set(authorities.map(({ fingerprint }) => fingerprint))].sort())
    this.#compare()
    this.#protect(source, states)
  }

  #compare(): void {
    const all = [...this.#named].sort(([a], [b]) => a.localeCompare(b))
    const difference = all.some(([, set]) => !same(set, all[0]?.[1] ?? [])) ? JSON.stringify(all) : ''
    if (difference === this.#difference) return
    this.#difference = difference
    if (difference === '') this.events.sourcesAgree()
    else this.events.sourcesDiffer(all, { contradict: all.some(([, a]) => all.some(([, b]) => contradict(a, b))) })
  }

  /** An answer that knows none of the issuers of the SVIDs in use would orphan them all, were it taken at its word. */
  #protect(source: BundleSource, states: ReadonlyMap<string, EntryState>): void {
    const named = this.#named.get(source) ?? []
    const issuers = issuersInUse(states)
    const orphans = issuers.size > 0 && !named.some((fingerprint) => issuers.has(fingerprint))
    if (orphans) {
      const orphaned = JSON.stringify([named, [...issuers].sort()])
      if (orphaned !== this.#orphaned) this.events.svidsUnnamed([source, named], [...issuers])
      this.#orphaned = orphaned
    } else if (this.#orphaned !== '' && [...this.#named.values()].every((set) => set.some((f) => issuers.has(f)))) {
      this.#orphaned = ''
      this.events.svidsNamed()
    }
  }
}

/** Fingerprints of the authorities that issued what is served, or is about to be. */
export function issuersInUse(states: ReadonlyMap<string, EntryState>): ReadonlySet<string> {
  const issuers = new Set<string>()
  for (const state of states.values()) {
    if (state.kind !== 'issued') continue
    issuers.add(state.held.svid.authority)
    if (state.next) issuers.add(state.next.held.svid.authority)
  }
  return issuers
}

function same(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((fingerprint, i) => fingerprint === b[i])
}

/** Each names what the other does not; naming more is no contradiction, for some answers name only the issuer. */
function contradict(a: readonly string[], b: readonly string[]): boolean {
  return a.some((fingerprint) => !b.includes(fingerprint)) && b.some((fingerprint) => !a.includes(fingerprint))
}

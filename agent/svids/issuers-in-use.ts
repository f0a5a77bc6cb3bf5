import type { EntryState } from './snapshot.js'

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

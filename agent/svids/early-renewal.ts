import type { AuthorityBook } from './authority-history.js'
import type { Changes } from './catch-up.js'
import type { EntryState } from './snapshot.js'

/** Renewals that an authority's end brings forward are so many a minute: half of what the server allows one address. */
const PER_MINUTE = 15

/** The authority that was seen last: the one that issues now, as far as anybody here knows. Null where none is known. */
export function newestAuthority({ page }: AuthorityBook): string | null {
  let newest: AuthorityBook['page']['lines'][number] | null = null
  for (const line of page.lines) if (!newest || line.firstSeen >= newest.firstSeen) newest = line
  return newest?.authority.fingerprint ?? null
}

/**
 * A new authority issues: SVIDs of the others are renewed early, in the order of their expiry, spread so that the
 * server's limit holds; never later than they would be anyway. So an old CA may go as soon as one round is over.
 */
export function renewEarly(states: ReadonlyMap<string, EntryState>, newest: string, now: number): Changes {
  const old = [...states].flatMap(([id, state]) =>
    state.kind === 'issued' && (state.next ?? state).held.svid.authority !== newest ? [{ id, state }] : [],
  )
  old.sort((a, b) => a.state.held.svid.notAfter - b.state.held.svid.notAfter)
  const changes = new Map<string, EntryState>()
  for (const [n, { id, state }] of old.entries()) {
    const renewAt = now + (n * 60_000) / PER_MINUTE
    if (state.next && renewAt < state.next.held.renewAt) {
      changes.set(id, { ...state, next: { ...state.next, held: { ...state.next.held, renewAt } } })
    } else if (!state.next && renewAt < state.held.renewAt) {
      changes.set(id, { ...state, held: { ...state.held, renewAt } })
    }
  }
  return changes
}

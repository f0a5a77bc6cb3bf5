import type { X509Svid } from '../identity/x509-svid.js'
import type { Clock } from '../ports/clock.js'
import type { AuthorityHistory } from './authority-history.js'
import { type EntryState, type HeldSvid, newestOf, transition } from './entry-state.js'
import type { Snapshot } from './snapshot.js'
import type { Changes } from './state-changes.js'

/**
 * SVIDs that went out of service because the wall clock says that they have expired. A clock that jumped ahead, and is
 * set right a moment later, must not cost a node every identity at once: whatever has not lived its life by the clock
 * that never jumps comes back. A clock that is set back brings nothing back that had.
 */
export class ExpiredSvids {
  /** The monotonic time at which an SVID ends, as reckoned when it was first seen. */
  readonly #endsAt = new WeakMap<X509Svid, number>()
  readonly #out = new Map<string, HeldSvid>()

  constructor(private readonly clock: Pick<Clock, 'now' | 'monotonic'>) {}

  /** Takes note of SVIDs that are new. Call it before what time changes is published. */
  see(states: ReadonlyMap<string, EntryState>): void {
    const ahead = this.clock.monotonic() - this.clock.now()
    for (const state of states.values()) {
      if (state.kind !== 'issued') continue
      for (const { svid } of state.next ? [state.held, state.next.held] : [state.held]) {
        if (!this.#endsAt.has(svid)) this.#endsAt.set(svid, svid.notAfter + ahead)
      }
    }
  }

  /** These states take the place of those: what is no longer issued went out of service. */
  out(before: ReadonlyMap<string, EntryState>, changes: Changes): void {
    for (const [id, state] of changes) {
      const was = before.get(id)
      if (state.kind !== 'issued' && was?.kind === 'issued') this.#out.set(id, newestOf(was))
    }
  }

  /** What is valid again, for entries that still name that identity and have got nothing else since. */
  back(
    { entries, states }: Pick<Snapshot, 'entries' | 'states'>,
    { authorities }: Pick<AuthorityHistory, 'authorities'>,
  ): Changes {
    const changes = new Map<string, EntryState>()
    const now = this.clock.now()
    for (const [id, held] of this.#out) {
      const { svid } = held
      const over = this.clock.monotonic() >= (this.#endsAt.get(svid) ?? 0)
      const state = states.get(id)
      const taken = state?.kind === 'issued'
      if (over || taken || !entries.get(id)?.spiffeId.equals(svid.spiffeId)) this.#out.delete(id)
      else if (now < svid.notAfter && authorities.some(({ fingerprint }) => fingerprint === svid.authority)) {
        changes.set(id, transition(state, { kind: 'valid-again', held }))
        this.#out.delete(id)
      }
    }
    return changes
  }
}

import type { BundleSet } from '../identity/trust-bundle.js'
import type { X509Svid } from '../identity/x509-svid.js'
import type { Snapshot } from './snapshot.js'

/** One identity in a view. */
export interface ViewSvid {
  readonly entryId: string
  readonly svid: X509Svid
}

/**
 * The content of a stream's message: the SVIDs in order and all bundles. Interned: equal content is the same object, so
 * that "nothing changed" is `===`, and encoded messages can be cached by view.
 */
export interface View {
  readonly svids: readonly ViewSvid[]
  readonly bundles: BundleSet
}

/** Creates views, or returns the existing equal one. Holds them weakly: a view lives as long as a stream uses it. */
export class Views {
  readonly #known = new Map<string, WeakRef<View>>()
  readonly #numbers = new WeakMap<object, number>()
  readonly #gone = new FinalizationRegistry<string>((key) => {
    if (!this.#known.get(key)?.deref()) this.#known.delete(key)
  })
  #next = 0

  /** Number of views in use, and of a few that are no longer in use and not yet collected. */
  get size(): number {
    return this.#known.size
  }

  /** The view of these entries, in this order; each must be issued in the snapshot. */
  of(snapshot: Pick<Snapshot, 'states' | 'bundles'>, ids: readonly string[]): View {
    const svids = ids.map((entryId) => {
      const state = snapshot.states.get(entryId)
      if (state?.kind !== 'issued') throw new TypeError(`entry ${entryId} is not issued`)
      return { entryId, svid: state.held.svid }
    })
    const key = JSON.stringify([this.#number(snapshot.bundles), ids, svids.map(({ svid }) => this.#number(svid))])
    const known = this.#known.get(key)?.deref()
    if (known) return known
    const view: View = { svids, bundles: snapshot.bundles }
    this.#known.set(key, new WeakRef(view))
    this.#gone.register(view, key)
    return view
  }

  #number(value: object): number {
    const known = this.#numbers.get(value)
    if (known !== undefined) return known
    this.#numbers.set(value, ++this.#next)
    return this.#next
  }
}

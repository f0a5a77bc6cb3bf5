import type { Entry } from '../identity/entry.js'
import type { BundleSet } from '../identity/trust-bundle.js'
import type { Observer } from '../observability/observer.js'
import type { Clock } from '../ports/clock.js'
import type { EntryState } from '../svids/entry-state.js'
import type { Snapshot, SnapshotChange } from '../svids/snapshot.js'
import type { SvidStore } from '../svids/store.js'

export const CHANGE_KINDS = ['entries', 'svid', 'bundle', 'node', 'config', 'platform', 'health'] as const
export type ChangeKind = (typeof CHANGE_KINDS)[number]

/** Something that changed. `time`: milliseconds since 1970. */
export interface RecordedChange {
  readonly time: number
  readonly kind: ChangeKind
  readonly text: string
  /** An entry id, a SPIFFE ID, a trust domain or a name; null if the change concerns several. */
  readonly subject: string | null
}

/** Limit of changes kept of one kind, so that frequent ones (rotations) do not displace rare ones. */
const OF_ONE_KIND = 30
const IN_ALL = 100
/** A publication that changes more entries than this is summarised in one line. */
const SINGLY = 5

/** The latest changes on this node. */
export class ChangeLog {
  #changes: RecordedChange[] = []

  constructor(private readonly clock: Pick<Clock, 'now'>) {}

  readonly observer: Observer = {
    nodeAttested: ({ spiffeId, notAfter }, how) =>
      this.add(
        'node',
        `the agent's SVID was ${how === 'renewed' ? 'renewed' : 'issued'}${until(notAfter)}`,
        spiffeId.uri,
      ),
    x509Revoked: (serial) => this.add('svid', `SVID ${serial} was revoked`, serial),
  }

  /** Oldest first. */
  get all(): readonly RecordedChange[] {
    return this.#changes
  }

  add(kind: ChangeKind, text: string, subject: string | null = null): void {
    this.#changes.push({ time: this.clock.now(), kind, text, subject })
    const ofKind = this.#changes.filter((change) => change.kind === kind)
    const [oldestOfKind] = ofKind
    if (ofKind.length > OF_ONE_KIND) this.#changes = this.#changes.filter((change) => change !== oldestOfKind)
    else if (this.#changes.length > IN_ALL) this.#changes = this.#changes.slice(1)
  }

  /** Records the changes of each publication from now on. */
  follow(store: Pick<SvidStore, 'observe' | 'current'>): Disposable {
    let before = store.current
    return store.observe((publication) => {
      const after = store.current
      if (publication.entries === 'all') this.#entries(before, after)
      this.#states(before, after, publication)
      if (publication.bundles) this.#bundles(before.bundles, after.bundles)
      before = after
    })
  }

  #entries(before: Snapshot, after: Snapshot): void {
    const added: Entry[] = []
    const changed: Entry[] = []
    for (const [id, entry] of after.entries) {
      const known = before.entries.get(id)
      if (!known) added.push(entry)
      else if (known !== entry) changed.push(entry)
    }
    const removed = [...before.entries].flatMap(([id, entry]) => (after.entries.has(id) ? [] : [entry]))
    this.#several('entries', added, ['added', 'entries added'])
    this.#several('entries', changed, ['changed', 'entries changed'])
    this.#several('entries', removed, ['removed', 'entries removed'])
  }

  #states(before: Snapshot, after: Snapshot, { entries: ids }: SnapshotChange): void {
    const lines: { readonly entry: Entry; readonly text: string }[] = []
    for (const id of ids === 'all' ? after.states.keys() : ids) {
      const [was, is] = [before.states.get(id), after.states.get(id)]
      const entry = after.entries.get(id)
      const text = was === is ? null : described(was, is)
      if (entry && text !== null) lines.push({ entry, text })
    }
    if (lines.length <= SINGLY)
      for (const { entry, text } of lines) this.add('svid', `${entry.spiffeId.uri}: ${text}`, entry.id)
    else this.add('svid', `${lines.length} entries: ${tally(lines.map(({ text }) => text.replace(/, .*/, '')))}`)
  }

  #bundles(before: BundleSet, after: BundleSet): void {
    for (const [trustDomain, bundle] of after) {
      const known = new Set(before.get(trustDomain)?.authorities.map(({ fingerprint }) => fingerprint))
      const now = new Set(bundle.authorities.map(({ fingerprint }) => fingerprint))
      const added = [...now].filter((fingerprint) => !known.has(fingerprint)).length
      const removed = [...known].filter((fingerprint) => !now.has(fingerprint)).length
      if (added + removed === 0) continue
      const text = [added > 0 && `${added} added`, removed > 0 && `${removed} removed`].filter(Boolean).join(', ')
      this.add('bundle', `authorities of ${trustDomain}: ${text}`, trustDomain)
    }
    for (const trustDomain of before.keys()) {
      if (!after.has(trustDomain)) this.add('bundle', `the bundle of ${trustDomain} is no longer served`, trustDomain)
    }
  }

  #several(kind: ChangeKind, entries: readonly Entry[], [one, many]: readonly [string, string]): void {
    if (entries.length <= SINGLY) for (const { id, spiffeId } of entries) this.add(kind, `${spiffeId.uri}: ${one}`, id)
    else this.add(kind, `${entries.length} ${many}`)
  }
}

/** Describes the change of a state for people; null if it is of no interest to them. */
function described(was: EntryState | undefined, is: EntryState | undefined): string | null {
  if (is?.kind === 'issued') {
    if (was?.kind !== 'issued') return `SVID issued${until(is.held.svid.notAfter)}`
    return was.held.svid === is.held.svid ? null : `SVID rotated${until(is.held.svid.notAfter)}`
  }
  if (is?.kind === 'refused')
    return was?.kind === 'refused' && was.code === is.code ? null : `SVID refused (${is.code})`
  if (is?.kind === 'shadowed') return was?.kind === 'shadowed' ? null : `another entry wins (${is.by})`
  if (is?.kind === 'wanted' && is.expired && !(was?.kind === 'wanted' && was.expired)) return 'SVID expired'
  return null
}

function tally(texts: readonly string[]): string {
  const counts = new Map<string, number>()
  for (const text of texts) counts.set(text, (counts.get(text) ?? 0) + 1)
  return [...counts].map(([text, count]) => `${count} ${text}`).join(', ')
}

function until(notAfter: number): string {
  return `, valid until ${new Date(notAfter).toISOString().replace(/\.\d+Z$/, 'Z')}`
}

import { AgentError } from '../errors.js'
import type { ControlPlane, EntriesAnswer } from '../icp/control-plane.js'
import { type Entry, sameEntry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Demand } from './demand.js'
import { EntryIndex } from './entry-index.js'
import { type EntryState, shadowOf, transition } from './entry-state.js'
import type { Issuance } from './issuance.js'
import type { Publisher } from './publisher.js'
import type { Revocations } from './revocations.js'
import { withShadows } from './shadows.js'
import type { Snapshot } from './snapshot.js'
import type { SvidStore } from './store.js'
import type { SyncSchedule } from './sync-schedule.js'
import { isGone, probeEntry, WithdrawalDoubt } from './withdrawal.js'

export interface EntrySyncOptions {
  readonly store: SvidStore
  readonly demand: Pick<Demand, 'prune'>
  readonly schedule: SyncSchedule
  readonly controlPlane: Pick<ControlPlane, 'entries'>
  readonly clock: Clock
  readonly events: SyncEvents
  readonly revokeRemoved: boolean
}

/** Limit of lines that one sync logs about unusable entries. */
const MOST_LOGGED = 100

/** The dependencies of entry sync. */
interface EntrySyncDeps {
  readonly publisher: Publisher
  readonly issuance: Issuance
  readonly revocations: Revocations
}

/** Reads the entries of this agent and publishes them, unless the answer is doubtful. */
export class EntrySync {
  readonly #rejected = new Map<string, string>()
  readonly #doubt: WithdrawalDoubt
  #lastAt: number | null = null
  /** The server's last list was published. */
  #applied = false

  constructor(
    private readonly options: EntrySyncOptions,
    private readonly deps: EntrySyncDeps,
  ) {
    this.#doubt = new WithdrawalDoubt(options.clock)
  }

  /** Wall-clock time of the last successful sync. */
  get lastAt(): number | null {
    return this.#lastAt
  }

  /** Unusable entries of the server's list, with the reason. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected
  }

  /** One read. A failure is logged and passed to the schedule. Rejects with the signal's reason, or on a defect. */
  async sync(agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { controlPlane, store, events, schedule, clock } = this.options
    schedule.began({ known: store.current.synced })
    try {
      const answer = await controlPlane.entries(agent, signal)
      this.#lastAt = clock.now()
      let added = false
      if (answer.unchanged && this.#applied) this.#logCounts(answer.entries.length, null)
      else {
        this.#applied = false
        this.#logRejected(answer.rejected)
        if (withdrawsEverything(store.current.entries, answer.entries) && !(await this.#allGone(agent, signal))) return
        this.#doubt.settled()
        added = this.#apply(answer.entries)
        this.#applied = true
      }
      schedule.synced({ added })
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      if (error.code === 'icp.rate_limited') {
        schedule.refused({ known: store.current.synced })
        return
      }
      schedule.failed()
      events.syncFailed(error)
    }
  }

  /** True if there are new entries. */
  #apply(entries: readonly Entry[]): boolean {
    const { store, events, demand, revokeRemoved } = this.options
    const { issuance, publisher, revocations } = this.deps
    const replacement = replaceEntries(store.current, entries)
    this.#logCounts(entries.length, replacement)
    if (!replacement) return false
    for (const { id } of replacement.removed) {
      issuance.forget(id)
      events.entryGone(id)
    }
    for (const id of replacement.changed) issuance.forget(id)
    for (const [loser, winner] of replacement.shadowed.slice(0, MOST_LOGGED)) events.entryShadowed(loser, winner)
    store.publish(replacement.parts, { entries: 'all', bundles: false })
    const keepMs = publisher.history.state.longestLifeMs * 2
    demand.prune((id, unusedFor) => store.current.entries.has(id) && unusedFor < keepMs)
    if (revokeRemoved) revocations.add(replacement.orphaned)
    return replacement.added > 0
  }

  #logCounts(total: number, replacement: Replacement | null): void {
    this.options.events.entriesSynced({
      total,
      added: replacement?.added ?? 0,
      changed: replacement?.changed.length ?? 0,
      removed: replacement?.removed.length ?? 0,
    })
  }

  /** True if the server confirms that the entries are gone; false while that is in doubt, and nothing changes. */
  async #allGone(agent: SpiffeId, signal: AbortSignal): Promise<boolean> {
    const { store, events, schedule } = this.options
    const next = this.#doubt.next()
    if (next === 'read-again') {
      events.withdrawalDoubted(store.current.entries.size)
      schedule.again()
      return false
    }
    const entry = next === 'ask' ? probeEntry(store.current.entries, store.current.states) : null
    if (next === 'ask' && !entry) return true
    if (entry) await this.deps.issuance.issue(entry.id, agent, signal)
    const gone = entry !== null && isGone(store.current.states.get(entry.id))
    if (!gone) {
      if (entry) events.withdrawalRefuted(store.current.entries.size)
      schedule.synced()
    }
    return gone
  }

  /** Logs each once, at most `MOST_LOGGED` per sync; `/status` has their number. */
  #logRejected(rejected: EntriesAnswer['rejected']): void {
    const before = new Map(this.#rejected)
    this.#rejected.clear()
    let logged = 0
    for (const { id, reason } of rejected) {
      if (this.#rejected.has(id)) continue
      this.#rejected.set(id, reason)
      if (before.get(id) !== reason && logged++ < MOST_LOGGED) this.options.events.entryRejected({ id, reason })
    }
  }
}

/** A set of entries put in place of another. */
export interface Replacement {
  readonly parts: Pick<Snapshot, 'synced' | 'entries' | 'index' | 'states'>
  readonly added: number
  readonly removed: readonly Entry[]
  /** Ids of entries whose content changed. */
  readonly changed: readonly string[]
  /** Newly shadowed entries, each with the entry that is issued instead. */
  readonly shadowed: readonly (readonly [loser: Entry, winner: Entry])[]
  /** Serials of SVIDs that no workload is entitled to any more. */
  readonly orphaned: readonly string[]
}

/** True if the list would withdraw every known entry: then the agent reads once more before it acts. */
export function withdrawsEverything(before: ReadonlyMap<string, Entry>, after: readonly Entry[]): boolean {
  return before.size > 0 && !after.some((entry) => before.has(entry.id))
}

/** Null if nothing changed and entries were known before. */
export function replaceEntries(
  snapshot: Pick<Snapshot, 'synced' | 'entries' | 'states'>,
  entries: readonly Entry[],
): Replacement | null {
  const next = new Map(entries.map((entry) => [entry.id, entry]))
  const removed = [...snapshot.entries.values()].filter((entry) => !next.has(entry.id))
  let added = 0
  const changed: string[] = []
  const states = new Map(snapshot.states)
  const orphaned: string[] = []
  const drop = (id: string) => {
    const state = states.get(id)
    if (state?.kind === 'issued')
      orphaned.push(state.held.svid.serial, ...(state.next ? [state.next.held.svid.serial] : []))
    states.delete(id)
  }
  for (const id of states.keys()) if (!snapshot.entries.has(id)) drop(id)
  for (const entry of removed) drop(entry.id)
  for (const [id, entry] of next) {
    const before = snapshot.entries.get(id)
    if (!before) added++
    else if (sameEntry(before, entry)) next.set(id, before)
    else {
      changed.push(id)
      adjustState(states, before, entry, drop)
    }
  }
  if (snapshot.synced && added + changed.length + removed.length === 0) return null
  const shaded = withShadows(next, states)
  return {
    parts: { synced: true, entries: next, index: new EntryIndex(next.values()), states: shaded },
    shadowed: newlyShadowed(next, snapshot.states, shaded),
    added,
    removed,
    changed,
    orphaned,
  }
}

function newlyShadowed(
  entries: ReadonlyMap<string, Entry>,
  before: ReadonlyMap<string, EntryState>,
  after: ReadonlyMap<string, EntryState>,
): Replacement['shadowed'] {
  return [...after].flatMap(([id, state]) => {
    const shadow = shadowOf(state)
    const [loser, winner] = [entries.get(id), shadow && entries.get(shadow.by)]
    return shadow && loser && winner && shadowOf(before.get(id))?.by !== shadow.by ? [[loser, winner] as const] : []
  })
}

function adjustState(states: Map<string, EntryState>, before: Entry, after: Entry, drop: (id: string) => void): void {
  if (before.spiffeId.uri !== after.spiffeId.uri) {
    drop(after.id)
    return
  }
  const newTtl = before.ttlSeconds !== after.ttlSeconds
  const state = transition(states.get(after.id), { kind: 'entry-changed', newTtl })
  if (state) states.set(after.id, state)
  else states.delete(after.id)
}

import { AgentError } from '../errors.js'
import type { ControlPlane, EntriesAnswer } from '../icp/control-plane.js'
import type { Entry } from '../identity/entry.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { SyncEvents } from '../observability/sync-events.js'
import type { Clock } from '../ports/clock.js'
import type { Demand } from './demand.js'
import { type Replacement, replaceEntries, withdrawsEverything } from './entries.js'
import type { Issuance } from './issuance.js'
import type { Publisher } from './publisher.js'
import type { Revocations } from './revocations.js'
import type { IdentityStore } from './store.js'
import type { SyncPace } from './sync-schedule.js'
import { isGone, telling, WithdrawalDoubt } from './withdrawal.js'

export interface EntrySyncOptions {
  readonly store: IdentityStore
  readonly demand: Pick<Demand, 'prune'>
  readonly pace: SyncPace
  readonly controlPlane: Pick<ControlPlane, 'entries'>
  readonly clock: Clock
  readonly events: SyncEvents
  readonly revokeRemoved: boolean
}

/** Lines of one sync about entries that nobody can use. */
const MOST_SAID = 100

/** What entry sync has to do with. */
interface Others {
  readonly publisher: Publisher
  readonly issuance: Issuance
  readonly revocations: Revocations
}

/** Reads the entries of this agent and puts them in force, unless the answer is to be doubted. */
export class EntrySync {
  readonly #rejected = new Map<string, string>()
  readonly #doubt: WithdrawalDoubt
  #lastAt: number | null = null
  /** The last list that the server sent is in force. */
  #applied = false

  constructor(
    private readonly options: EntrySyncOptions,
    private readonly others: Others,
  ) {
    this.#doubt = new WithdrawalDoubt(options.clock)
  }

  /** Wall-clock time of the last sync that succeeded. */
  get lastAt(): number | null {
    return this.#lastAt
  }

  /** Entries that the server sent and nobody can use, with the reason. */
  get rejected(): ReadonlyMap<string, string> {
    return this.#rejected
  }

  /** One read; a failure is said, and the pace knows of it. Rejects with the signal's reason and with defects. */
  async sync(agent: SpiffeId, signal: AbortSignal): Promise<void> {
    const { controlPlane, store, events, pace, clock } = this.options
    pace.began({ known: store.current.synced })
    try {
      const answer = await controlPlane.entries(agent, signal)
      this.#lastAt = clock.now()
      if (answer.unchanged && this.#applied) this.#said(answer.entries.length, null)
      else {
        this.#applied = false
        if (withdrawsEverything(store.current.entries, answer.entries) && !(await this.#allGone(agent, signal))) return
        this.#doubt.settled()
        this.#noteRejected(answer.rejected)
        this.#apply(answer.entries)
        this.#applied = true
      }
      pace.synced()
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof AgentError)) throw error
      if (error.code === 'icp.rate_limited') {
        pace.refused({ known: store.current.synced })
        return
      }
      pace.failed()
      events.syncFailed(error)
    }
  }

  #apply(entries: readonly Entry[]): void {
    const { store, events, demand, revokeRemoved } = this.options
    const { issuance, publisher, revocations } = this.others
    const replacement = replaceEntries(store.current, entries)
    this.#said(entries.length, replacement)
    if (!replacement) return
    for (const { id } of replacement.removed) {
      issuance.forget(id)
      events.entryGone(id)
    }
    for (const id of replacement.changed) issuance.forget(id)
    for (const [loser, winner] of replacement.shadowed.slice(0, MOST_SAID)) events.entryShadowed(loser, winner)
    store.publish(replacement.parts, { entries: 'all', bundles: false })
    const keepMs = publisher.book.page.longestLifeMs * 2
    demand.prune((id, unusedFor) => store.current.entries.has(id) && unusedFor < keepMs)
    if (revokeRemoved) revocations.add(replacement.orphaned)
  }

  #said(total: number, replacement: Replacement | null): void {
    this.options.events.entriesSynced({
      total,
      added: replacement?.added ?? 0,
      changed: replacement?.changed.length ?? 0,
      removed: replacement?.removed.length ?? 0,
    })
  }

  /** True when the entries are gone indeed; false while that is in doubt, and everything stays as it is. */
  async #allGone(agent: SpiffeId, signal: AbortSignal): Promise<boolean> {
    const { store, events, pace } = this.options
    const next = this.#doubt.next()
    if (next === 'read-again') {
      events.withdrawalDoubted(store.current.entries.size)
      pace.again()
      return false
    }
    const entry = next === 'ask' ? telling(store.current.entries, store.current.states) : null
    if (next === 'ask' && !entry) return true
    if (entry) await this.others.issuance.issue(entry.id, agent, signal)
    const gone = entry !== null && isGone(store.current.states.get(entry.id))
    if (!gone) {
      if (entry) events.withdrawalRefuted(store.current.entries.size)
      pace.synced()
    }
    return gone
  }

  /** Each is said once, and of very many only the first: how many there are is said besides. */
  #noteRejected(rejected: EntriesAnswer['rejected']): void {
    const before = new Map(this.#rejected)
    this.#rejected.clear()
    let said = 0
    for (const { id, reason } of rejected) {
      if (this.#rejected.has(id)) continue
      this.#rejected.set(id, reason)
      if (before.get(id) !== reason && said++ < MOST_SAID) this.options.events.entryRejected({ id, reason })
    }
  }
}

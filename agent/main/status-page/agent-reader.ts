import type { AdminClient } from '../../admin/client.js'
import { type BundleRow, bundles } from '../../admin/routes/bundles.js'
import { type DenialAnswer, denial } from '../../admin/routes/denial.js'
import { type DenialRow, denials } from '../../admin/routes/denials.js'
import { type EntryRow, entries } from '../../admin/routes/entries.js'
import { type StatusAnswer, status } from '../../admin/routes/status.js'
import { type WorkloadRow, workloads } from '../../admin/routes/workloads.js'
import { AgentError, type ErrorCode } from '../../errors.js'
import { dropOldest } from '../../lib/oldest.js'
import { Signal } from '../../lib/signal.js'
import type { Clock } from '../../ports/clock.js'

/** How often the agent is polled while a page is open. */
const LOOK_MS = 2_000
/** Long lists are read less often, so that the agent spends at most a hundredth of its time on them. */
const LIST_SHARE = 100
const LISTS_AT_LEAST_EVERY_MS = 60_000
/** Limit of rotations kept for the timeline. */
const MAX_ROTATIONS = 5_000

/** The last answers of the agent. Times in milliseconds since 1970. */
export interface AgentLook {
  readonly at: number
  readonly status: StatusAnswer
  readonly listsAt: number
  readonly workloads: readonly WorkloadRow[]
  readonly entries: readonly EntryRow[]
  readonly denials: readonly DenialRow[]
  readonly evicted: number
  readonly bundles: readonly BundleRow[]
  /** When workloads' SVIDs were issued, as far as observed. */
  readonly rotations: readonly number[]
}

export interface ReaderTrouble {
  readonly code: ErrorCode
  readonly message: string
  readonly since: number
}

type Lists = Omit<AgentLook, 'at' | 'status'>

/** Holds the data of the page. Polls the agent only while a page is open. */
export class AgentReader {
  /** Emits after each read, also after a failed one. */
  readonly changed = new Signal()
  #look: AgentLook | null = null
  #trouble: ReaderTrouble | null = null
  #lists: Lists | null = null
  #listsDue = Number.NEGATIVE_INFINITY
  #readAt = Number.NEGATIVE_INFINITY
  #reading: Promise<void> | null = null
  #watchers = 0
  /** By serial. */
  readonly #rotations = new Map<string, number>()

  constructor(
    private readonly client: Pick<AdminClient, 'get' | 'list'>,
    private readonly clock: Clock,
  ) {}

  get look(): AgentLook | null {
    return this.#look
  }

  /** Why the last read failed; null: it did not. */
  get trouble(): ReaderTrouble | null {
    return this.#trouble
  }

  now(): number {
    return this.clock.now()
  }

  /** Keeps reading until disposed. */
  watch(changed: () => void): Disposable {
    const subscription = this.changed.subscribe(changed)
    this.#watchers++
    return {
      [Symbol.dispose]: () => {
        this.#watchers--
        subscription[Symbol.dispose]()
      },
    }
  }

  /** Reads while a page is open, until the signal. */
  async run(signal: AbortSignal): Promise<void> {
    for (;;) {
      if (this.#watchers > 0) await this.fresh(signal)
      await this.clock.sleep(LOOK_MS, signal)
    }
  }

  /** Data at most two seconds old; rejects only with the signal's reason. */
  async fresh(signal: AbortSignal): Promise<void> {
    if (this.clock.monotonic() - this.#readAt < LOOK_MS / 2) return
    this.#reading ??= this.#read(signal).finally(() => {
      this.#reading = null
    })
    await this.#reading
  }

  /** One denial with its explanation. Throws `admin.not_found`, and the errors of AdminClient. */
  async denial(id: string, signal: AbortSignal): Promise<DenialAnswer> {
    return await this.client.get(denial.schema, `/v1/denials/${encodeURIComponent(id)}`, signal)
  }

  async #read(signal: AbortSignal): Promise<void> {
    try {
      const answer = await this.client.get(status.schema, status.path, signal)
      if (!this.#lists || this.clock.monotonic() >= this.#listsDue) this.#lists = await this.#readLists(signal)
      this.#look = { at: this.clock.now(), status: answer, ...this.#lists }
      this.#trouble = null
    } catch (error) {
      if (signal.aborted) throw signal.reason
      if (!(error instanceof AgentError)) throw error
      const { code, message } = error
      this.#trouble = { code, message, since: this.#trouble?.since ?? this.clock.now() }
    }
    this.#readAt = this.clock.monotonic()
    this.changed.emit()
  }

  async #readLists(signal: AbortSignal): Promise<Lists> {
    const began = this.clock.monotonic()
    const connected = await this.client.list(workloads, signal)
    const registered = await this.client.list(entries, signal)
    const denied = await this.client.list(denials, signal)
    const served = await this.client.list(bundles, signal)
    const took = this.clock.monotonic() - began
    this.#listsDue = began + Math.min(took * LIST_SHARE, LISTS_AT_LEAST_EVERY_MS)
    this.#remember(registered.rows)
    return {
      listsAt: this.clock.now(),
      workloads: [...connected.rows].sort((a, b) => WORKLOADS[a.state] - WORKLOADS[b.state] || a.pid - b.pid),
      entries: [...registered.rows].sort(
        (a, b) => ENTRIES[a.state] - ENTRIES[b.state] || (a.spiffe_id < b.spiffe_id ? -1 : 1),
      ),
      denials: denied.rows,
      evicted: denied.evicted,
      bundles: served.rows,
      rotations: [...this.#rotations.values()],
    }
  }

  #remember(rows: readonly EntryRow[]): void {
    for (const { svid } of rows) if (svid) this.#rotations.set(svid.serial, Date.parse(svid.issued_at))
    dropOldest(this.#rotations, MAX_ROTATIONS)
  }
}

/** Order of states: those that need attention first. */
const WORKLOADS: Readonly<Record<WorkloadRow['state'], number>> = { denied: 0, waiting: 1, none: 2, served: 3 }
const ENTRIES: Readonly<Record<EntryRow['state'], number>> = { refused: 0, shadowed: 1, wanted: 2, issued: 3, idle: 4 }

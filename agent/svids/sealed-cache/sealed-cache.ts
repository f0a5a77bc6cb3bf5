import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { AgentError } from '../../errors.js'
import type { Entry } from '../../identity/entry.js'
import { parseJwtKey } from '../../identity/jwt-svid.js'
import { Alarm } from '../../lib/alarm.js'
import type { Clock } from '../../ports/clock.js'
import type { Files } from '../../ports/files.js'
import type { AuthorityHistoryState } from '../authority-history.js'
import type { Demand } from '../demand.js'
import type { EntryState, IssuedState } from '../entry-state.js'
import type { Snapshot } from '../snapshot.js'
import type { SvidStore } from '../store.js'
import {
  formatEntries,
  formatManifest,
  formatSvid,
  type Manifest,
  parseEntries,
  parseManifest,
  parseSvid,
} from './cache-format.js'
import { SealedFiles, type SealedFilesOptions } from './sealed-files.js'

export interface SealedCacheOptions extends SealedFilesOptions {
  readonly files: Files
  readonly clock: Clock
  /** `security.cache_path`: the manifest; the files of entries and SVIDs are beside it. */
  readonly path: string
  readonly store: SvidStore
  readonly demand: Demand
  readonly history: () => AuthorityHistoryState
  /** The common name in the SVIDs of workloads. */
  readonly commonName: () => string | null
  /** Whether the server's Date agrees with our clock, as far as is known. */
  readonly clockAgrees: () => boolean
}

/** The result of a restoration. */
export interface RestoredCache {
  readonly snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>
  readonly history: AuthorityHistoryState
  readonly lastUses: ReadonlyMap<string, number>
  readonly commonName: string | null
  /** The clock is behind the time of writing: the cache is not used until the server confirms the clock. */
  readonly clockBehind: boolean
}

const DEBOUNCE_MS = 1_000
/** The manifest is written at least this often, because it holds the time last seen and the last uses. */
const REFRESH_MS = 300_000
/** Wait before a failed write is retried. */
const RETRY_MS = 15_000
/** How far the clock may be behind the time last seen before it counts as wrong. */
const CLOCK_TOLERANCE_MS = 60_000
/** Number of SVIDs that are read concurrently. */
const READERS = 8

/**
 * The snapshot, sealed on disk, so that after a restart without the server the agent serves workloads as soon as they are
 * attested. One file for the manifest (authorities, keys of JWT-SVIDs, last uses, time last seen), one for the entries,
 * and one for each SVID; each is replaced as a whole. A file that cannot be opened is renamed with a date and not used.
 */
export class SealedCache {
  readonly #alarm: Alarm
  readonly #sealed: SealedFiles
  #lastSeen = Number.NEGATIVE_INFINITY
  #dirtyEntries = false
  #dirtyManifest = false
  /** Entries whose file may differ from their state. */
  readonly #dirtySvids = new Set<string>()
  /** The states in the files, as far as this process knows. */
  readonly #onDisk = new Map<string, IssuedState>()

  constructor(private readonly options: SealedCacheOptions) {
    this.#alarm = new Alarm(options.clock)
    this.#sealed = new SealedFiles(options)
  }

  /**
   * Null if there is nothing to restore. No content of the files makes it throw; it throws `file.*` if manifest or entries
   * cannot be read, and may then be called again. An SVID that cannot be read is left out.
   */
  async restore(): Promise<RestoredCache | null> {
    const { clock, events, path } = this.options
    await this.#sealed.prepare(path)
    const along = [this.#entriesPath, this.#svidDirectory]
    const manifest = await this.#sealed.read(path, 'manifest', parseManifest, along)
    const entries = manifest && (await this.#sealed.read(this.#entriesPath, 'entries', parseEntries))
    if (!manifest || !entries) return null
    this.#lastSeen = manifest.lastSeen
    const now = clock.now()
    const clockBehind = now < manifest.lastSeen - CLOCK_TOLERANCE_MS
    // An SVID that was valid at the time last seen may have expired; then the next tick stops serving it.
    const states = await this.#svids(entries, manifest, Math.max(now, manifest.lastSeen))
    const jwtKeys = (await Promise.all(manifest.jwtKeys.map(parseJwtKey))).filter((key) => key !== null)
    events.restored({ entries: entries.length, svids: states.size, clockBehind })
    return {
      snapshot: { entries: new Map(entries.map((entry) => [entry.id, entry])), states, jwtKeys },
      history: manifest.history,
      lastUses: manifest.lastUses,
      commonName: manifest.commonName,
      clockBehind,
    }
  }

  /** Writes changes after a short delay until the signal aborts; then once more. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.options
    using _changes = store.observe((change) => {
      if (change.entries === 'all') {
        this.#dirtyEntries = true
        for (const id of [...store.current.states.keys(), ...this.#onDisk.keys()]) this.#dirtySvids.add(id)
      } else for (const id of change.entries) this.#dirtySvids.add(id)
      if (change.bundles) this.#dirtyManifest = true
      this.#alarm.ring()
    })
    // Includes changes since the restoration, and files that the previous key sealed.
    this.#everythingIsDirty()
    let refreshAt = clock.monotonic() + REFRESH_MS
    let works = true
    try {
      for (;;) {
        const due = works ? refreshAt - clock.monotonic() : RETRY_MS
        await this.#alarm.sleep(Math.max(1, due), signal)
        await clock.sleep(DEBOUNCE_MS, signal)
        if (clock.monotonic() >= refreshAt) this.#dirtyManifest = true
        if (this.#dirtyManifest) refreshAt = clock.monotonic() + REFRESH_MS
        works = await this.flush()
      }
    } catch (error) {
      if (!signal.aborted) throw error
      this.#dirtyManifest = true
      await this.flush()
    }
  }

  /** Writes all unwritten changes. False if the disk fails, which is logged once; the agent continues from memory. */
  async flush(): Promise<boolean> {
    const { events, store } = this.options
    try {
      const { states } = store.current
      const stale = [...this.#dirtySvids].filter((id) => !this.#isOnDisk(id, states.get(id)))
      // The manifest first: a restart would reject an SVID of an authority that the manifest lacks.
      if (this.#dirtyManifest || stale.length > 0) await this.#writeManifest()
      if (this.#dirtyEntries) await this.#writeEntries()
      for (const id of stale) {
        // An SVID that arrived meanwhile waits for the next manifest.
        if (store.current.states.get(id) === states.get(id)) await this.#writeSvid(id, states.get(id))
      }
      for (const id of [...this.#dirtySvids]) {
        if (this.#isOnDisk(id, store.current.states.get(id))) this.#dirtySvids.delete(id)
      }
      events.written()
      return true
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      events.writeFailed(error)
      return false
    }
  }

  async #writeManifest(): Promise<void> {
    const { store, clock, demand, history, path, clockAgrees, commonName } = this.options
    const now = clock.now()
    // After a restart, a clock that was set back must not make expired SVIDs valid: only the server can lower this time.
    this.#lastSeen = clockAgrees() ? now : Math.max(now, this.#lastSeen)
    const manifest: Manifest = {
      lastSeen: this.#lastSeen,
      history: history(),
      jwtKeys: store.current.jwtKeys.map(({ jwk }) => jwk),
      lastUses: demand.lastUses(),
      commonName: commonName(),
    }
    // Changes during the write set it again.
    this.#dirtyManifest = false
    try {
      await this.#sealed.write(path, 'manifest', formatManifest(manifest))
    } catch (error) {
      this.#dirtyManifest = true
      throw error
    }
  }

  async #writeEntries(): Promise<void> {
    const { entries } = this.options.store.current
    await this.#sealed.write(this.#entriesPath, 'entries', formatEntries(entries.values()))
    if (entries === this.options.store.current.entries) this.#dirtyEntries = false
    await this.#removeOrphans()
  }

  async #writeSvid(id: string, state: EntryState | undefined): Promise<void> {
    const path = this.#svidPath(id)
    if (state?.kind !== 'issued') {
      await this.options.files.remove(path)
      this.#onDisk.delete(id)
      return
    }
    await this.#sealed.write(path, `svid ${id}`, formatSvid({ entryId: id, ...state }))
    this.#onDisk.set(id, state)
  }

  /** Whether the file holds this state. Failures of a renewal are not stored. */
  #isOnDisk(id: string, state: EntryState | undefined): boolean {
    const known = this.#onDisk.get(id)
    if (state?.kind !== 'issued') return known === undefined
    return known !== undefined && known.held === state.held && known.next === state.next
  }

  async #svids(entries: readonly Entry[], manifest: Manifest, now: number): Promise<Map<string, EntryState>> {
    const states = new Map<string, EntryState>()
    const names = new Set(await this.options.files.list(this.#svidDirectory))
    const stored = entries.filter((entry) => names.has(`${nameOf(entry.id)}.sealed`))[Symbol.iterator]()
    const unread: AgentError[] = []
    const reader = async () => {
      for (const entry of stored) {
        try {
          const state = await this.#svid(entry, manifest, now)
          if (state) states.set(entry.id, state)
        } catch (error) {
          if (!(error instanceof AgentError)) throw error
          unread.push(error)
        }
      }
    }
    await Promise.all(Array.from({ length: READERS }, reader))
    if (unread.length > 0) this.options.events.svidsUnread(unread.length, unread[0])
    return states
  }

  async #svid(entry: Entry, { history }: Manifest, now: number): Promise<IssuedState | null> {
    const path = this.#svidPath(entry.id)
    const authorities = history.records.map(({ authority }) => authority)
    const stored = await this.#sealed.read(path, `svid ${entry.id}`, (text) => {
      try {
        return parseSvid(text, entry.spiffeId, authorities, now)
      } catch (error) {
        // Expired, or of an authority that was removed: not damaged, only outdated.
        if (error instanceof AgentError && error.code.startsWith('svid.')) return 'over' as const
        throw error
      }
    })
    if (stored === 'over') await this.options.files.remove(path)
    if (stored === null || stored === 'over' || stored.entryId !== entry.id) return null
    const { held, next } = stored
    const state: IssuedState = { kind: 'issued', held, ...(next ? { next } : {}) }
    this.#onDisk.set(entry.id, state)
    return state
  }

  async #removeOrphans(): Promise<void> {
    const { files, store } = this.options
    const known = new Set([...store.current.entries.keys()].map((id) => `${nameOf(id)}.sealed`))
    for (const name of await files.list(this.#svidDirectory)) {
      if (name.endsWith('.sealed') && !known.has(name)) await files.remove(join(this.#svidDirectory, name))
    }
  }

  #everythingIsDirty(): void {
    const { store } = this.options
    if (this.#sealed.previousUsed) this.#onDisk.clear()
    this.#dirtyEntries = this.#dirtyManifest = store.current.synced
    for (const id of store.current.states.keys()) this.#dirtySvids.add(id)
    if (this.#dirtyManifest) this.#alarm.ring()
  }

  get #entriesPath(): string {
    return `${this.options.path}.entries`
  }

  get #svidDirectory(): string {
    return `${this.options.path}.svids`
  }

  #svidPath(entryId: string): string {
    return join(this.#svidDirectory, `${nameOf(entryId)}.sealed`)
  }
}

/** File names do not reveal the entry. */
function nameOf(entryId: string): string {
  return createHash('sha256').update(entryId).digest('hex').slice(0, 32)
}

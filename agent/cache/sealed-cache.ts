import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { open, seal } from '../crypto/sealed-box.js'
import { AgentError, messageOf } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import { parseJwtKey } from '../identity/jwt-svid.js'
import type { CacheEvents } from '../observability/cache-events.js'
import type { Clock } from '../ports/clock.js'
import type { Files } from '../ports/files.js'
import { Alarm } from '../rotation/alarm.js'
import type { BookPage } from '../store/authority-book.js'
import type { Demand } from '../store/demand.js'
import type { IdentityStore } from '../store/identity-store.js'
import type { EntryState, Snapshot } from '../store/snapshot.js'
import {
  formatEntries,
  formatManifest,
  formatSvid,
  type Manifest,
  parseEntries,
  parseManifest,
  parseSvid,
} from './cache-format.js'
import type { CacheKeys } from './cache-key.js'

export interface SealedCacheOptions {
  readonly files: Files
  readonly clock: Clock
  readonly keys: CacheKeys
  readonly account: string
  readonly nodeId: string
  /** `security.cache_path`: the manifest; entries and SVIDs lie beside it. */
  readonly path: string
  readonly store: IdentityStore
  readonly demand: Demand
  readonly book: () => BookPage
  readonly events: CacheEvents
}

/** What a start finds. */
export interface Restored {
  readonly snapshot: Pick<Snapshot, 'entries' | 'states' | 'jwtKeys'>
  readonly book: BookPage
  readonly lastUses: ReadonlyMap<string, number>
  /** The clock is behind the time at which the cache was written: nothing of it counts until the server agrees. */
  readonly clockBehind: boolean
}

const MAX_BYTES = 64 * 1_048_576 + 4096
const DEBOUNCE_MS = 1_000
/** The manifest is written at least so often: it keeps the time last seen and the last uses. */
const REFRESH_MS = 300_000
/** A clock may be so far behind the time last seen without being called wrong. */
const CLOCK_TOLERANCE_MS = 60_000

/**
 * What the agent serves from, sealed on disk: a restart while the server is away serves re-attested workloads at once.
 * One file for the manifest (authorities, keys of JWT-SVIDs, last uses, time last seen), one for the entries, one an
 * SVID; each is replaced as a whole. A file that does not open is set aside under a dated name and never trusted.
 */
export class SealedCache {
  readonly #alarm: Alarm
  #dirtyEntries = false
  #dirtyManifest = false
  #sealedWithPrevious = false
  readonly #dirtySvids = new Set<string>()

  constructor(private readonly options: SealedCacheOptions) {
    this.#alarm = new Alarm(options.clock)
  }

  /** Null where there is nothing to restore. Never throws for what is on the disk; `file.io` where the disk fails. */
  async restore(): Promise<Restored | null> {
    const { clock, events, path } = this.options
    const manifest = await this.#read(path, 'manifest', parseManifest)
    const entries = manifest && (await this.#read(this.#entriesPath, 'entries', parseEntries))
    if (!manifest || !entries) return null
    const now = clock.now()
    const clockBehind = now < manifest.lastSeen - CLOCK_TOLERANCE_MS
    // What is verified as of the time last seen may have expired by now; the tick takes it out of service then.
    const states = await this.#svids(entries, manifest, Math.max(now, manifest.lastSeen))
    const jwtKeys = (await Promise.all(manifest.jwtKeys.map(parseJwtKey))).filter((key) => key !== null)
    events.restored({ entries: entries.length, svids: states.size, clockBehind })
    return {
      snapshot: { entries: new Map(entries.map((entry) => [entry.id, entry])), states, jwtKeys },
      book: manifest.book,
      lastUses: manifest.lastUses,
      clockBehind,
    }
  }

  /** Writes what changes, a moment later, until the signal aborts; then once more. */
  async run(signal: AbortSignal): Promise<void> {
    const { store, clock } = this.options
    using _changes = store.observe((change) => {
      if (change.entries === 'all') {
        this.#dirtyEntries = true
        for (const id of store.current.states.keys()) this.#dirtySvids.add(id)
      } else for (const id of change.entries) this.#dirtySvids.add(id)
      if (change.bundles) this.#dirtyManifest = true
      this.#alarm.ring()
    })
    if (this.#sealedWithPrevious) this.#everythingIsDirty()
    let refreshAt = clock.monotonic() + REFRESH_MS
    try {
      for (;;) {
        await this.#alarm.sleep(Math.max(1, refreshAt - clock.monotonic()), signal)
        await clock.sleep(DEBOUNCE_MS, signal)
        if (clock.monotonic() >= refreshAt) this.#dirtyManifest = true
        if (this.#dirtyManifest) refreshAt = clock.monotonic() + REFRESH_MS
        await this.flush()
      }
    } catch (error) {
      if (!signal.aborted) throw error
      this.#dirtyManifest = true
      await this.flush()
    }
  }

  /** Writes what is not on disk yet. A disk that fails is said once; everything goes on from memory. */
  async flush(): Promise<void> {
    const { events, store } = this.options
    try {
      // SVIDs first: a manifest without them loses nothing, SVIDs of authorities it does not know would be refused.
      if (this.#dirtyManifest || this.#dirtySvids.size > 0) await this.#writeManifest()
      if (this.#dirtyEntries) {
        this.#dirtyEntries = false
        await this.#write(this.#entriesPath, 'entries', formatEntries(store.current.entries.values())).catch(
          (error) => {
            this.#dirtyEntries = true
            throw error
          },
        )
        await this.#removeOrphans()
      }
      for (const id of [...this.#dirtySvids]) {
        await this.#writeSvid(id, store.current.states.get(id))
        this.#dirtySvids.delete(id)
      }
      events.written()
    } catch (error) {
      if (!(error instanceof AgentError)) throw error
      events.writeFailed(error)
    }
  }

  async #writeManifest(): Promise<void> {
    const { store, clock, demand, book, path } = this.options
    const manifest: Manifest = {
      lastSeen: clock.now(),
      book: book(),
      jwtKeys: store.current.jwtKeys.map(({ jwk }) => jwk),
      lastUses: demand.lastUses(),
    }
    await this.#write(path, 'manifest', formatManifest(manifest))
    this.#dirtyManifest = false
  }

  async #writeSvid(id: string, state: EntryState | undefined): Promise<void> {
    const path = this.#svidPath(id)
    if (state?.kind !== 'issued') await this.options.files.remove(path)
    else await this.#write(path, `svid ${id}`, formatSvid({ entryId: id, ...state }))
  }

  async #svids(entries: readonly Entry[], { book }: Manifest, now: number): Promise<Map<string, EntryState>> {
    const states = new Map<string, EntryState>()
    const names = new Set(await this.options.files.list(this.#svidDirectory))
    const authorities = book.lines.map(({ authority }) => authority)
    for (const entry of entries) {
      const path = this.#svidPath(entry.id)
      if (!names.has(`${nameOf(entry.id)}.sealed`)) continue
      const stored = await this.#read(path, `svid ${entry.id}`, (text) => {
        try {
          return parseSvid(text, entry.spiffeId, authorities, now)
        } catch (error) {
          // Expired, or of an authority that had its time: no damage, only over.
          if (error instanceof AgentError && error.code.startsWith('svid.')) return 'over' as const
          throw error
        }
      })
      if (stored === 'over') await this.options.files.remove(path)
      else if (stored?.entryId === entry.id) {
        states.set(entry.id, { kind: 'issued', held: stored.held, ...(stored.next ? { next: stored.next } : {}) })
      }
    }
    return states
  }

  async #removeOrphans(): Promise<void> {
    const { files, store } = this.options
    const known = new Set([...store.current.entries.keys()].map((id) => `${nameOf(id)}.sealed`))
    for (const name of await files.list(this.#svidDirectory)) {
      if (name.endsWith('.sealed') && !known.has(name)) await files.remove(join(this.#svidDirectory, name))
    }
  }

  async #write(path: string, purpose: string, text: string): Promise<void> {
    const { keys, files } = this.options
    await files.makeDirectory(dirname(path), 0o700)
    await files.writeAtomically(path, seal(keys.current, Buffer.from(text), this.#context(purpose)))
  }

  async #read<T>(path: string, purpose: string, parse: (text: string) => T): Promise<T | null> {
    const { files, keys, events, clock } = this.options
    const box = await files.read(path, { maxBytes: MAX_BYTES, own: true })
    if (box === null) return null
    const problems: string[] = []
    for (const key of [keys.current, ...(keys.previous ? [keys.previous] : [])]) {
      try {
        const content = parse(open(key, box, this.#context(purpose)).toString('utf8'))
        if (key !== keys.current) this.#sealedWithPrevious = true
        return content
      } catch (error) {
        problems.push(messageOf(error))
      }
    }
    const aside = `${path}.rejected-${new Date(clock.now()).toISOString().replace(/[:.]/g, '-')}`
    await files.rename(path, aside)
    events.rejected(aside, problems[0] ?? 'it cannot be read')
    return null
  }

  /** Sealed anew with the current key. */
  #everythingIsDirty(): void {
    this.#dirtyEntries = this.#dirtyManifest = true
    for (const id of this.options.store.current.states.keys()) this.#dirtySvids.add(id)
    this.#alarm.ring()
  }

  #context(purpose: string) {
    return { account: this.options.account, nodeId: this.options.nodeId, purpose }
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

/** File names tell nothing of the entry. */
function nameOf(entryId: string): string {
  return createHash('sha256').update(entryId).digest('hex').slice(0, 32)
}

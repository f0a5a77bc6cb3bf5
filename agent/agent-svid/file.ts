import { join } from 'node:path'
import { AgentError, codeOf, messageOf } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Files } from '../ports/files.js'
import { type AgentSvid, type UnverifiedAgentSvid, verifyStored } from './agent-svid.js'
import { adopted, type Certificates, NO_CERTIFICATES } from './certificates.js'
import type { Pending } from './record.js'
import { formatRecord, parseRecord, type RecordOwner, type StoredRecord } from './record.js'

const NAME = 'agent-identity.json'
const MAX_BYTES = 1024 * 1024

export interface AgentSvidFileOptions {
  readonly files: Pick<Files, 'read' | 'writeAtomically' | 'rename'>
  /** `agent.data_dir`. */
  readonly dataDir: string
  readonly owner: RecordOwner
  readonly spiffeId: SpiffeId
}

/** A file that was found but is not used. */
export interface SetAside {
  /** Its new path. */
  readonly path: string
  readonly reason: 'damaged' | 'foreign'
  readonly detail: string
}

export interface RestoredAgentSvid {
  /** Verified, but not necessarily valid now. */
  readonly identity: AgentSvid | null
  readonly pending: Pending | null
  readonly setAside: SetAside | null
}

interface KeptRecord {
  readonly certificates: Certificates
  readonly pending: Pending | null
  /** The file holds a key that should be erased. */
  readonly stale: boolean
}

/**
 * The identity file: keys, certificates, agent id and the attempt in progress, in one file of mode 0600 that is only
 * replaced as a whole. Whenever the process dies, the file holds the state before or after a step, never one between.
 * State that could not be written is in memory only (`unsaved`).
 */
export class AgentSvidFile {
  readonly path: string
  #certificates = NO_CERTIFICATES
  #pending: Pending | null = null
  #unsaved: AgentError | null = null
  /** A note has not been written yet. */
  #noted = false
  /** Settles after the last queued write. Writes run one after another, each with the state at its start. */
  #turn: Promise<void> = Promise.resolve()

  constructor(private readonly options: AgentSvidFileOptions) {
    this.path = join(options.dataDir, NAME)
  }

  /** The newest. */
  get identity(): AgentSvid | null {
    return this.#certificates.newest
  }

  get certificates(): Certificates {
    return this.#certificates
  }

  /** True while a note has not been written; `flush` writes it. */
  get noted(): boolean {
    return this.#noted
  }

  get pending(): Pending | null {
    return this.#pending
  }

  /** Why the SVID in use or the attempt in progress is not on disk; null if it is. */
  get unsaved(): AgentError | null {
    return this.#unsaved
  }

  /**
   * Reads the file. A file that is damaged or belongs to another tenant or node is renamed and not used; it is not deleted,
   * because it may hold that node's only key. Throws `file.io` if the disk does not answer.
   */
  async load({ now, monotonic }: { readonly now: number; readonly monotonic: number }): Promise<RestoredAgentSvid> {
    const read = await this.#read(now, monotonic)
    if ('reason' in read) {
      const stamp = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '')
      const path = `${this.path}.${read.reason}-${stamp}`
      await this.options.files.rename(this.path, path)
      return { identity: null, pending: null, setAside: { ...read, path } }
    }
    this.#certificates = read.certificates
    this.#pending = read.pending
    this.#noted = read.stale
    return { identity: read.certificates.newest, pending: read.pending, setAside: null }
  }

  /** Changes what is known of the certificates, in memory at once, and on disk with the next write. */
  note(change: (before: Certificates) => Certificates): void {
    const after = change(this.#certificates)
    if (after === this.#certificates) return
    this.#certificates = after
    this.#noted = true
  }

  /** Writes an attempt beside the SVID in use, before its request is sent. Throws `file.*`. */
  async savePending(pending: Pending | null): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write(this.#certificates, pending)
      this.#pending = pending
    })
  }

  /** Puts the new SVID into use and ends its attempt. If it throws `file.*`, nothing has changed. */
  async save(identity: AgentSvid): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write(adopted(this.#certificates, identity), null)
      this.#inForce(identity)
    })
  }

  /** As `savePending`, but keeps the attempt in memory if the disk fails (`file.io`): see `unsaved` and `flush`. */
  async adoptPending(pending: Pending): Promise<void> {
    await this.#inTurn(async () => {
      await this.#tryWrite(this.#certificates, pending)
      this.#pending = pending
    })
  }

  /** As `save`, but uses the SVID even if the disk fails (`file.io`): see `unsaved` and `flush`. */
  async adopt(identity: AgentSvid): Promise<void> {
    await this.#inTurn(async () => {
      await this.#tryWrite(adopted(this.#certificates, identity), null)
      this.#inForce(identity)
    })
  }

  /** Writes the present state, unless it is on disk. Throws `file.*`. */
  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#unsaved && !this.#noted) return
      try {
        await this.#write(this.#certificates, this.#pending)
      } catch (error) {
        if (error instanceof AgentError) this.#unsaved = error
        throw error
      }
    })
  }

  async #inTurn(work: () => Promise<void>): Promise<void> {
    const turn = this.#turn.then(work)
    const ended = () => undefined
    this.#turn = turn.then(ended, ended)
    await turn
  }

  /** Applies to the present certificates: a note may have changed them during the write. */
  #inForce(identity: AgentSvid): void {
    this.#certificates = adopted(this.#certificates, identity)
    this.#pending = null
  }

  async #write(certificates: Certificates, pending: Pending | null): Promise<void> {
    const text = formatRecord(this.options.owner, certificates, pending)
    const noted = this.#noted
    this.#noted = false
    try {
      await this.options.files.writeAtomically(this.path, Buffer.from(text), 0o600)
    } catch (error) {
      this.#noted ||= noted
      throw error
    }
    this.#unsaved = null
  }

  /** Records a failed write before the next queued one starts, so that the next one includes its state. */
  async #tryWrite(certificates: Certificates, pending: Pending | null): Promise<void> {
    try {
      await this.#write(certificates, pending)
    } catch (error) {
      this.#unsaved = diskFailure(error)
    }
  }

  async #read(now: number, monotonic: number): Promise<KeptRecord | Omit<SetAside, 'path'>> {
    try {
      const content = await this.options.files.read(this.path, { maxBytes: MAX_BYTES, own: true })
      if (!content) return { certificates: NO_CERTIFICATES, pending: null, stale: false }
      const record = parseRecord(content.toString('utf8'))
      const foreign = this.#foreign(record)
      if (foreign) return { reason: 'foreign', detail: foreign }
      const { pending, older, reception } = record
      const newest = record.identity && verifyStored(record.identity, now)
      const other = newest && older && beside(newest, older, now)
      const { refusedSince, ...known } = reception
      // The refusal has lasted since then, also while no process ran; it counts once the server repeats it.
      const countedAt = monotonic - Math.max(0, now - (refusedSince ?? now))
      const refusal = refusedSince === null ? null : { since: refusedSince, forMs: 0, countedAt }
      const stale = older !== null && other === null
      return { certificates: { ...known, newest, older: other, refusal }, pending, stale }
    } catch (error) {
      if (!(error instanceof AgentError) || codeOf(error) === 'file.io') throw error
      return { reason: 'damaged', detail: messageOf(error) }
    }
  }

  #foreign({ owner, identity }: StoredRecord): string | null {
    const { tenantId, nodeId } = this.options.owner
    if (owner.tenantId !== tenantId) return `it belongs to tenant ${owner.tenantId}, not ${tenantId}`
    if (owner.nodeId !== nodeId) return `it belongs to node ${owner.nodeId}, not ${nodeId}`
    if (identity && !identity.spiffeId.equals(this.options.spiffeId)) return 'it is for another SPIFFE ID'
    return null
  }
}

/** The older certificate if it is one of the same agent, else null: a wrong one must not cost the newest. */
function beside(newest: AgentSvid, older: UnverifiedAgentSvid, now: number): AgentSvid | null {
  try {
    const verified = verifyStored(older, now)
    const same = verified.agentId === newest.agentId && verified.spiffeId.equals(newest.spiffeId)
    return same && verified.serial !== newest.serial && now < verified.notAfter ? verified : null
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    return null
  }
}

/** The error if it is `file.io`; rethrows any other. */
function diskFailure(error: unknown): AgentError {
  if (error instanceof AgentError && error.code === 'file.io') return error
  throw error
}

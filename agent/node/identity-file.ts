import { join } from 'node:path'
import { AgentError, codeOf, messageOf } from '../errors.js'
import type { SpiffeId } from '../identity/spiffe-id.js'
import type { Files } from '../ports/files.js'
import { type AgentIdentity, verifyStored } from './agent-identity.js'
import { formatRecord, type Owner, parseRecord, type StoredRecord } from './identity-record.js'
import type { Pending } from './pending.js'

const NAME = 'agent-identity.json'
const MAX_BYTES = 1024 * 1024

export interface IdentityFileOptions {
  readonly files: Pick<Files, 'read' | 'writeAtomically' | 'rename'>
  /** `agent.data_dir`. */
  readonly dataDir: string
  readonly owner: Owner
  readonly spiffeId: SpiffeId
}

/** A file that was found and is not trusted. */
export interface SetAside {
  /** Where it is now. */
  readonly path: string
  readonly reason: 'damaged' | 'foreign'
  readonly detail: string
}

export interface Restored {
  /** Verified, but not necessarily valid now. */
  readonly identity: AgentIdentity | null
  readonly pending: Pending | null
  readonly setAside: SetAside | null
}

/**
 * The agent's identity on disk: key, certificate and id, and the attempt at the next one, in one file of mode 0600
 * that is only ever replaced as a whole. Whenever the process dies, the file holds the state before or after a step,
 * never one between. One that the disk would not take is in memory alone (`unsaved`).
 */
export class IdentityFile {
  readonly path: string
  #identity: AgentIdentity | null = null
  #pending: Pending | null = null
  #unsaved: AgentError | null = null
  /** Ends when the last write that was asked for has: each writes what is in force when its turn comes. */
  #turn: Promise<void> = Promise.resolve()

  constructor(private readonly options: IdentityFileOptions) {
    this.path = join(options.dataDir, NAME)
  }

  get identity(): AgentIdentity | null {
    return this.#identity
  }

  get pending(): Pending | null {
    return this.#pending
  }

  /** Why what is in force, or the attempt at the next, is not on disk; null where it is. */
  get unsaved(): AgentError | null {
    return this.#unsaved
  }

  /**
   * Reads the file. One that is damaged, or belongs to another tenant or node, is renamed (never deleted: it may be
   * somebody's only key) and counts as none. Throws `file.io` where the disk does not answer.
   */
  async load(now: number): Promise<Restored> {
    const read = await this.#read(now)
    if ('reason' in read) {
      const stamp = new Date(now).toISOString().replace(/[-:]|\.\d+/g, '')
      const path = `${this.path}.${read.reason}-${stamp}`
      await this.options.files.rename(this.path, path)
      return { identity: null, pending: null, setAside: { ...read, path } }
    }
    this.#identity = read.identity
    this.#pending = read.pending
    return { ...read, setAside: null }
  }

  /** Remembers an attempt beside the identity in force, before its request leaves. Throws `file.*`. */
  async savePending(pending: Pending | null): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write(this.#identity, pending)
      this.#pending = pending
    })
  }

  /** Puts the new identity in force; the attempt that led to it is over. Throws `file.*`, and then nothing changed. */
  async save(identity: AgentIdentity): Promise<void> {
    await this.#inTurn(async () => {
      await this.#write(identity, null)
      this.#identity = identity
      this.#pending = null
    })
  }

  /** As `savePending`, but remembered even where the disk fails (`file.io`): `unsaved` tells, `flush` tries again. */
  async adoptPending(pending: Pending): Promise<void> {
    await this.#inTurn(async () => {
      await this.#tryWrite(this.#identity, pending)
      this.#pending = pending
    })
  }

  /** As `save`, but in force even where the disk fails (`file.io`): `unsaved` tells, `flush` tries again. */
  async adopt(identity: AgentIdentity): Promise<void> {
    await this.#inTurn(async () => {
      await this.#tryWrite(identity, null)
      this.#identity = identity
      this.#pending = null
    })
  }

  /** Writes what is in force, if it is not on disk. Throws `file.*`. */
  async flush(): Promise<void> {
    await this.#inTurn(async () => {
      if (!this.#unsaved) return
      try {
        await this.#write(this.#identity, this.#pending)
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

  async #write(identity: AgentIdentity | null, pending: Pending | null): Promise<void> {
    const text = formatRecord(this.options.owner, identity, pending)
    await this.options.files.writeAtomically(this.path, Buffer.from(text), 0o600)
    this.#unsaved = null
  }

  /** Part of the turn: a write that waits for its own must find in force what this one could not write. */
  async #tryWrite(identity: AgentIdentity | null, pending: Pending | null): Promise<void> {
    try {
      await this.#write(identity, pending)
    } catch (error) {
      this.#unsaved = diskFailure(error)
    }
  }

  async #read(now: number): Promise<Omit<Restored, 'setAside'> | Omit<SetAside, 'path'>> {
    try {
      const content = await this.options.files.read(this.path, { maxBytes: MAX_BYTES, own: true })
      if (!content) return { identity: null, pending: null }
      const record = parseRecord(content.toString('utf8'))
      const foreign = this.#foreign(record)
      if (foreign) return { reason: 'foreign', detail: foreign }
      const identity = record.identity && verifyStored(record.identity, now)
      return { identity, pending: record.pending }
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

/** The error where the disk failed; throws any other. */
function diskFailure(error: unknown): AgentError {
  if (error instanceof AgentError && error.code === 'file.io') return error
  throw error
}

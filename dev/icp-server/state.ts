import * as z from 'zod'
import { AgentError } from '../../agent/errors.js'
import type { Clock } from '../../agent/ports/clock.js'
import type { Files } from '../../agent/ports/files.js'

const selectors = z.record(z.string(), z.string())
const issuer = z.object({ key: z.string(), certificate: z.string() })

const entry = z.object({
  id: z.string(),
  spiffeId: z.string(),
  /** SPIFFE ID of the agent that serves it; empty: every agent. */
  parentId: z.string(),
  selectors,
  ttl: z.number().nullable(),
  admin: z.boolean(),
  downstream: z.boolean(),
  createdAt: z.number(),
  updatedAt: z.number(),
})

const agent = z.object({
  id: z.string(),
  nodeId: z.string(),
  spiffeId: z.string(),
  attestationType: z.string(),
  selectors,
  status: z.enum(['active', 'revoked']),
  lastSeen: z.number(),
  createdAt: z.number(),
})

const joinToken = z.object({
  id: z.string(),
  /** Hex SHA-256 of the secret, which is not kept. */
  hash: z.string(),
  description: z.string(),
  createdAt: z.number(),
  expiresAt: z.number(),
  usedAt: z.number().nullable(),
  usedByNodeId: z.string(),
  revokedAt: z.number().nullable(),
})

const svid = z.object({
  serial: z.string(),
  agentSpiffeId: z.string(),
  spiffeId: z.string(),
  /** Unknown in the state of an earlier version. */
  entryId: z.string().default(''),
  expiresAt: z.number(),
  revokedAt: z.number().nullable(),
})

const state = z.object({
  version: z.literal(1),
  accountId: z.string(),
  serverCa: issuer,
  authorities: z.array(issuer).min(1),
  jwtKey: z.string().nullable(),
  revokedJwts: z.array(z.string()),
  delegations: z.record(z.string(), z.string()),
  entries: z.array(entry),
  agents: z.array(agent),
  joinTokens: z.array(joinToken),
  svids: z.array(svid),
})

/** Everything that survives a restart, in DIR/state.json. Times are milliseconds since 1970. */
export type State = z.infer<typeof state>
export type EntryRecord = z.infer<typeof entry>
export type AgentRecord = z.infer<typeof agent>
export type JoinTokenRecord = z.infer<typeof joinToken>
export type SvidRecord = z.infer<typeof svid>

const MAX_BYTES = 256 * 1024 * 1024
const SOON_MS = 1000

/** The state of an earlier run, or null. Throws `file.io` if the file is invalid. */
export async function readState(files: Files, path: string): Promise<State | null> {
  const content = await files.read(path, { maxBytes: MAX_BYTES, own: true })
  if (content === null) return null
  try {
    return state.parse(JSON.parse(content.toString('utf8')))
  } catch (cause) {
    throw new AgentError('file.io', `the state in ${path} cannot be read: remove it to start with an empty one`, {
      cause,
    })
  }
}

/**
 * Writes the state to its file (0600, atomically). Calls during a write share the next one, so that a burst of changes
 * costs two writes; a call resolves when a write that began after it is on disk.
 */
export class StateFile implements AsyncDisposable {
  #running: Promise<void> = Promise.resolve()
  #next: Promise<void> | null = null
  #soon: Disposable | null = null
  constructor(
    private readonly files: Files,
    private readonly clock: Clock,
    private readonly path: string,
    private readonly snapshot: () => State,
  ) {}

  save(): Promise<void> {
    this.#next ??= this.#running.then(
      () => this.#begin(),
      () => this.#begin(),
    )
    return this.#next
  }

  /** For frequent changes: saves within a second. */
  saveSoon(): void {
    this.#soon ??= this.clock.after(SOON_MS, () => {
      // A failure of the disk rejects the next wait for a save.
      this.save().catch(() => undefined)
    })
  }

  /** Saves changes that are not on disk yet. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.save()
    this.#soon?.[Symbol.dispose]()
  }

  #begin(): Promise<void> {
    this.#next = null
    this.#soon?.[Symbol.dispose]()
    this.#soon = null
    this.#running = this.#write()
    return this.#running
  }

  async #write(): Promise<void> {
    await this.files.writeAtomically(this.path, Buffer.from(JSON.stringify(this.snapshot())), 0o600)
  }
}

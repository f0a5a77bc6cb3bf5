import { randomUUID } from 'node:crypto'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { badRequest, conflict, notFound } from './api-error.js'
import type { Generation } from './options.js'
import type { AgentRecord, EntryRecord, SvidRecord } from './state.js'

/** A registration entry from an administrator. */
export interface NewEntry {
  readonly spiffeId: string
  /** SPIFFE ID of the agent that serves it; empty or missing: every agent. */
  readonly parentId?: string
  readonly selectors: Readonly<Record<string, string>>
  /** Seconds; null or missing: the server's default. */
  readonly ttl?: number | null
  readonly admin?: boolean
  readonly downstream?: boolean
}

export interface AttestedAgent {
  readonly nodeId: string
  readonly spiffeId: string
  readonly attestationType: string
  readonly selectors: Readonly<Record<string, string>>
}

/** Entries, agents and issued SVIDs of the account. */
export class Registry {
  readonly #entries: Map<string, EntryRecord>
  /** Ids of entries by SPIFFE ID, which is unique in an account. */
  readonly #ids: Map<string, string>
  readonly #agents: Map<string, AgentRecord>
  readonly #svids: Map<string, SvidRecord>
  /** Trust domains that entries may have; null: any, as in the older generation. */
  readonly #trustDomains: readonly string[] | null

  constructor(
    trustDomains: readonly string[] | null,
    saved: { entries?: readonly EntryRecord[]; agents?: readonly AgentRecord[]; svids?: readonly SvidRecord[] } = {},
  ) {
    this.#trustDomains = trustDomains
    this.#entries = new Map((saved.entries ?? []).map((entry) => [entry.id, entry]))
    this.#ids = new Map((saved.entries ?? []).map((entry) => [entry.spiffeId, entry.id]))
    this.#agents = new Map((saved.agents ?? []).map((agent) => [agent.id, agent]))
    this.#svids = new Map((saved.svids ?? []).map((svid) => [svid.serial, svid]))
  }

  /** The data to save, without expired SVIDs. */
  save(now: number): { entries: EntryRecord[]; agents: AgentRecord[]; svids: SvidRecord[] } {
    for (const svid of this.#svids.values()) if (svid.expiresAt < now) this.#svids.delete(svid.serial)
    return { entries: [...this.#entries.values()], agents: this.agents(), svids: [...this.#svids.values()] }
  }

  /** Oldest first. */
  entries(): IterableIterator<EntryRecord> {
    return this.#entries.values()
  }

  entry(id: string): EntryRecord {
    const entry = this.#entries.get(id)
    if (!entry) throw notFound('Workload entry not found')
    return entry
  }

  entryBySpiffeId(spiffeId: string): EntryRecord | null {
    return this.#entries.get(this.#ids.get(spiffeId) ?? '') ?? null
  }

  createEntry(input: NewEntry, now: number): EntryRecord {
    this.#check(input, null)
    return this.#put({ ...fieldsOf(input), id: randomUUID(), createdAt: now, updatedAt: now })
  }

  /** Replaces an entry; id, age and order stay. */
  updateEntry(id: string, input: NewEntry, now: number): EntryRecord {
    const { createdAt, spiffeId } = this.entry(id)
    this.#check(input, id)
    this.#ids.delete(spiffeId)
    return this.#put({ ...fieldsOf(input), id, createdAt, updatedAt: now })
  }

  /** In the newer generation this also deletes the records of its SVIDs. */
  deleteEntry(id: string, generation: Generation): void {
    this.#ids.delete(this.entry(id).spiffeId)
    this.#entries.delete(id)
    if (generation === 'tenant') return
    for (const { serial, entryId } of this.#svids.values()) if (entryId === id) this.#svids.delete(serial)
  }

  agents(): AgentRecord[] {
    return [...this.#agents.values()]
  }

  agent(spiffeId: string): AgentRecord | null {
    return this.agents().find((agent) => agent.spiffeId === spiffeId) ?? null
  }

  /** The agent of a node; another attestation keeps its id and makes it active. */
  attested(input: AttestedAgent, now: number): AgentRecord {
    const known = this.agents().find((agent) => agent.nodeId === input.nodeId)
    const agent: AgentRecord = {
      id: known?.id ?? randomUUID(),
      createdAt: known?.createdAt ?? now,
      ...input,
      selectors: { ...input.selectors },
      status: 'active',
      lastSeen: now,
    }
    this.#agents.set(agent.id, agent)
    return agent
  }

  setAgentStatus(id: string, status: AgentRecord['status']): void {
    const agent = this.#agents.get(id)
    if (!agent) throw notFound('Agent not found')
    agent.status = status
  }

  issued(svid: SvidRecord): void {
    this.#svids.set(svid.serial, svid)
  }

  svid(serial: string): SvidRecord | null {
    return this.#svids.get(serial) ?? null
  }

  #put(entry: EntryRecord): EntryRecord {
    this.#entries.set(entry.id, entry)
    this.#ids.set(entry.spiffeId, entry.id)
    return entry
  }

  #check(input: NewEntry, own: string | null): void {
    const id = SpiffeId.tryParse(input.spiffeId)
    if (typeof id === 'string') throw badRequest(`Invalid spiffe_id: ${id}`)
    if (this.#trustDomains && !this.#trustDomains.includes(id.trustDomain)) {
      throw badRequest("spiffe_id must be in the workspace's trust domain")
    }
    if (Object.keys(input.selectors).length === 0) throw badRequest('at least one selector is required')
    if (input.ttl !== undefined && input.ttl !== null && !(input.ttl > 0)) throw badRequest('ttl must be positive')
    const same = this.entryBySpiffeId(input.spiffeId)
    if (same && same.id !== own) throw conflict('A workload entry with this SPIFFE ID already exists')
  }
}

function fieldsOf(input: NewEntry): Omit<EntryRecord, 'id' | 'createdAt' | 'updatedAt'> {
  return {
    spiffeId: input.spiffeId,
    parentId: input.parentId ?? '',
    selectors: { ...input.selectors },
    ttl: input.ttl ?? null,
    admin: input.admin ?? false,
    downstream: input.downstream ?? false,
  }
}

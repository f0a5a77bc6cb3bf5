import * as z from 'zod'
import { AgentError } from '../errors.js'
import type { Entry } from '../identity/entry.js'
import type { Selectors } from '../identity/selector.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import { excerpt } from './excerpt.js'

const MAX_SELECTORS = 64
const MAX_SELECTOR_CHARS = 4096
const MAX_ID_CHARS = 255
const CONTROL = /\p{C}/u

/**
 * Far more than the workloads of any node, and few enough to read, compare and keep without delaying workloads. A longer
 * list is a mistake.
 */
const MAX_ENTRIES = 100_000

/** `entries` may be null for none. If it is missing, another service or a proxy has answered. */
const reply = z.object({ entries: z.array(z.unknown()).nullable() })

export interface ParsedEntries {
  readonly entries: readonly Entry[]
  readonly rejected: readonly { readonly id: string; readonly reason: string }[]
}

/**
 * The entries of one agent. `entries` may be null for none, and `total` is ignored, because it may differ from the length.
 * An unusable entry is rejected by itself, with the reason. Throws ZodError if the answer has another form, and
 * `icp.too_large` for more than 100,000.
 */
export function parseEntries(json: unknown, agent: SpiffeId): ParsedEntries {
  const entries = new Map<string, Entry>()
  const rejected: { id: string; reason: string }[] = []
  const items = reply.parse(json).entries ?? []
  if (items.length > MAX_ENTRIES) {
    throw new AgentError(
      'icp.too_large',
      `the server lists ${items.length} entries; at most ${MAX_ENTRIES} are accepted`,
    )
  }
  for (const item of items) {
    const entry = entryOf(item, agent)
    if (typeof entry === 'string') rejected.push({ id: idOf(item), reason: entry })
    else if (entries.has(entry.id)) rejected.push({ id: entry.id, reason: 'another entry has the same id' })
    else entries.set(entry.id, entry)
  }
  return { entries: [...entries.values()], rejected }
}

/**
 * The entry, or why it cannot be used. Without a schema, which takes three times as long: ten thousand entries are read
 * while workloads wait.
 */
function entryOf(item: unknown, agent: SpiffeId): Entry | string {
  if (!isObject(item)) return 'it is not an object'
  const { id, spiffe_id, parent_id, ttl, created_at } = item
  if (typeof id !== 'string' || id === '' || id.length > MAX_ID_CHARS || CONTROL.test(id)) {
    return `its id is not a text of 1 to ${MAX_ID_CHARS} printable characters`
  }
  const spiffeId = typeof spiffe_id === 'string' ? SpiffeId.tryParse(spiffe_id) : 'it is not a string'
  if (typeof spiffeId === 'string') return `its SPIFFE ID is malformed: ${spiffeId}`
  if (spiffeId.path === '') return 'its SPIFFE ID is that of a trust domain, not of a workload'
  const parent = parent_id ?? ''
  // Every agent of the account serves an entry without a parent; one with another parent belongs to that agent.
  if (parent !== '' && parent !== agent.uri) return 'its parent is another agent'
  const selectors = selectorsOf(item['selectors'])
  if (typeof selectors === 'string') return selectors
  const createdAt = typeof created_at === 'string' ? Date.parse(created_at) : Number.NaN
  return {
    id,
    spiffeId,
    assigned: parent !== '',
    selectors,
    ttlSeconds: typeof ttl === 'number' && ttl >= 1 ? Math.floor(ttl) : null,
    createdAt: Number.isNaN(createdAt) ? 0 : createdAt,
  }
}

function selectorsOf(value: unknown): Selectors | string {
  if (value === null || value === undefined) return new Map()
  if (!isObject(value)) return 'its selectors are not an object'
  const pairs = Object.entries(value)
  if (pairs.length > MAX_SELECTORS) return `it has more than ${MAX_SELECTORS} selectors`
  const selectors = new Map<string, string>()
  for (const [key, text] of pairs) {
    if (key === '' || key.length > MAX_SELECTOR_CHARS) return 'a selector has an empty or too long key'
    if (typeof text !== 'string') return 'the value of a selector is not a string'
    if (text.length > MAX_SELECTOR_CHARS) return `a selector is longer than ${MAX_SELECTOR_CHARS} characters`
    selectors.set(key, text)
  }
  return selectors
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The path and problem of the first issue, without the value. */
export function problemOf(error: z.ZodError): string {
  const [issue] = error.issues
  return issue ? excerpt(`${issue.path.map(String).join('.') || 'the whole'}: ${issue.message}`) : 'malformed'
}

function idOf(item: unknown): string {
  return isObject(item) && typeof item['id'] === 'string' ? excerpt(item['id']) : '(none)'
}

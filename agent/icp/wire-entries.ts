import { z } from 'zod'
import type { Entry } from '../identity/entry.js'
import { SpiffeId } from '../identity/spiffe-id.js'
import { excerpt } from './excerpt.js'

const MAX_SELECTORS = 64
const MAX_SELECTOR_CHARS = 4096
const SELECTOR = `selectors have 1 to ${MAX_SELECTOR_CHARS} characters`

const reply = z.object({ entries: z.array(z.unknown()).nullish() })
const entryReply = z.object({
  id: z
    .string()
    .min(1)
    .max(255)
    .regex(/^\P{C}+$/u, 'ids have no control characters'),
  spiffe_id: z.string(),
  parent_id: z
    .string()
    .nullish()
    .transform((value) => value ?? ''),
  selectors: z
    .record(z.string().min(1, SELECTOR).max(MAX_SELECTOR_CHARS, SELECTOR), z.string().max(MAX_SELECTOR_CHARS, SELECTOR))
    .nullish()
    .transform((value) => Object.entries(value ?? {}))
    .refine((pairs) => pairs.length <= MAX_SELECTORS, `more than ${MAX_SELECTORS} selectors`),
  ttl: z.number().nullish(),
  created_at: z.string().nullish(),
})

export interface ParsedEntries {
  readonly entries: readonly Entry[]
  readonly rejected: readonly { readonly id: string; readonly reason: string }[]
}

/**
 * The entries of one agent. `entries` may be null for none, and `total` is ignored: it may differ from the length. An
 * entry that cannot be used is rejected alone, with the reason. Throws ZodError where the whole is something else.
 */
export function parseEntries(json: unknown, agent: SpiffeId): ParsedEntries {
  const entries = new Map<string, Entry>()
  const rejected: { id: string; reason: string }[] = []
  for (const item of reply.parse(json).entries ?? []) {
    const entry = entryOf(item, agent)
    if (typeof entry === 'string') rejected.push({ id: idOf(item), reason: entry })
    else if (entries.has(entry.id)) rejected.push({ id: entry.id, reason: 'another entry has the same id' })
    else entries.set(entry.id, entry)
  }
  return { entries: [...entries.values()], rejected }
}

/** The entry, or why it cannot be used. */
function entryOf(item: unknown, agent: SpiffeId): Entry | string {
  const parsed = entryReply.safeParse(item)
  if (!parsed.success) return problemOf(parsed.error)
  const { id, spiffe_id, parent_id, selectors, ttl, created_at } = parsed.data
  const spiffeId = SpiffeId.tryParse(spiffe_id)
  if (typeof spiffeId === 'string') return `its SPIFFE ID is malformed: ${spiffeId}`
  if (spiffeId.path === '') return 'its SPIFFE ID names a trust domain, which no workload can be'
  // Every agent of the account serves an entry without a parent; anything else belongs to another agent.
  if (parent_id !== '' && parent_id !== agent.uri) return 'its parent is another agent'
  const createdAt = Date.parse(created_at ?? '')
  return {
    id,
    spiffeId,
    assigned: parent_id !== '',
    selectors: new Map(selectors),
    ttlSeconds: ttl !== null && ttl !== undefined && ttl > 0 ? Math.floor(ttl) : null,
    createdAt: Number.isNaN(createdAt) ? 0 : createdAt,
  }
}

/** What is wrong where, without the value. */
export function problemOf(error: z.ZodError): string {
  const [issue] = error.issues
  return issue ? excerpt(`${issue.path.map(String).join('.') || 'the whole'}: ${issue.message}`) : 'malformed'
}

function idOf(item: unknown): string {
  const id: unknown = typeof item === 'object' && item !== null && 'id' in item ? item.id : null
  return typeof id === 'string' ? excerpt(id) : '(none)'
}

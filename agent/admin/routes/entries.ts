import * as z from 'zod'
import type { Entry } from '../../identity/entry.js'
import { iso } from '../../lib/time.js'
import { entryStatus } from '../../svids/entry-status.js'
import type { Snapshot } from '../../svids/snapshot.js'
import { type LazyRow, pageOfRows } from '../page.js'
import type { AdminRoute } from '../route.js'
import { isoOrNull, pageOf, selectors, time, timeOrNull } from '../shapes.js'
import type { AdminSources } from '../sources.js'

const entry = z.object({
  id: z.string(),
  spiffe_id: z.string(),
  assigned: z.boolean().describe('the entry names this agent as its parent; else every agent of the account serves it'),
  selectors: selectors,
  ttl_seconds: z.int().nullable(),
  created_at: timeOrNull,
  state: z.enum(['idle', 'wanted', 'issued', 'refused', 'shadowed']),
  since: timeOrNull.describe('when the state last changed, or when the agent learned of the entry'),
  code: z.string().nullable().describe('why no SVID is issued, or why the last attempt failed'),
  reason: z.string().nullable(),
  retry_at: timeOrNull.describe('time of the next attempt'),
  failures: z.int().describe('consecutive failures up to now'),
  svid: z
    .object({ serial: z.string(), issued_at: time, expires_at: time, renew_at: time })
    .nullable()
    .describe('the SVID that is served now'),
  wanted_by: z.int().describe('workloads with open calls'),
})
export type EntryRow = z.infer<typeof entry>

const schema = pageOf(entry)
export type EntryListing = z.infer<typeof schema>

/** The entries of this node, each with its state. */
export const entries = {
  method: 'GET',
  path: '/v1/entries',
  name: 'entries',
  summary: 'Registration entries, by id. `?spiffe_id=` and `?state=` filter.',
  schema,
  answer: (sources, { query }) => pageOfRows(rowsOf(sources, query), query, sources),
} as const satisfies AdminRoute

/** Sorted once per sync, which replaces the map: sorting thousands of ids would be most of the work of a page. */
const sorted = new WeakMap<Snapshot['entries'], readonly Entry[]>()

function inOrder(all: Snapshot['entries']): readonly Entry[] {
  const known = sorted.get(all)
  if (known) return known
  const made = [...all.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  sorted.set(all, made)
  return made
}

function rowsOf(
  sources: AdminSources,
  { spiffe_id, state }: Readonly<Record<string, string | undefined>>,
): readonly LazyRow<EntryRow>[] {
  const snapshot = sources.snapshot()
  return inOrder(snapshot.entries).map((one) => ({
    key: one.id,
    make: () => {
      if (spiffe_id !== undefined && one.spiffeId.uri !== spiffe_id) return null
      const row = entryRow(one, snapshot, sources)
      return state === undefined || row.state === state ? row : null
    },
  }))
}

/** Pure: the state of the entry is a parameter. */
export function entryRow(
  { id, spiffeId, assigned, selectors, ttlSeconds, createdAt }: Entry,
  snapshot: Pick<Snapshot, 'entries' | 'states'>,
  { clock, changedAt, usesOf }: Pick<AdminSources, 'clock' | 'changedAt' | 'usesOf'>,
): EntryRow {
  const now = clock.now()
  const { state, notIssued, failures, svidUntil } = entryStatus(snapshot, id, now)
  const known = snapshot.states.get(id)
  const held = known?.kind === 'issued' && svidUntil !== null ? known.held : null
  return {
    id,
    spiffe_id: spiffeId.uri,
    assigned,
    selectors: Object.fromEntries(selectors),
    ttl_seconds: ttlSeconds,
    created_at: isoOrNull(createdAt === 0 ? null : createdAt),
    state,
    since: isoOrNull(changedAt(id)),
    code: notIssued[0]?.code ?? failures?.code ?? null,
    reason: notIssued.length > 0 ? notIssued.map(({ reason }) => reason).join('; ') : null,
    retry_at: isoOrNull(failures?.retryAt ?? null),
    failures: failures?.count ?? 0,
    svid: held && {
      serial: held.svid.serial,
      issued_at: iso(held.svid.notBefore),
      expires_at: iso(held.svid.notAfter),
      renew_at: iso(held.renewAt),
    },
    wanted_by: usesOf(id),
  }
}

import * as z from 'zod'
import { iso } from '../../lib/time.js'
import type { Snapshot } from '../../svids/snapshot.js'
import type { WorkloadListing } from '../../workload-api/connections.js'
import { originOf } from '../origin.js'
import { type LazyRow, pageOfRows } from '../page.js'
import type { AdminRoute } from '../route.js'
import { isoOrNull, pageOf, selectors, time, timeOrNull } from '../shapes.js'
import type { AdminSources } from '../sources.js'

const WORKLOAD_STATES = ['served', 'waiting', 'denied', 'none'] as const

const workload = z.object({
  pid: z.int(),
  uid: z.int(),
  gid: z.int(),
  program: z.string().nullable(),
  container: z.string().nullable().describe('the id of its container'),
  pod: z.string().nullable().describe('namespace/name'),
  unit: z.string().nullable().describe('its systemd unit'),
  state: z
    .enum(WORKLOAD_STATES)
    .describe(
      'served: it has a valid SVID; waiting: its attestation or an SVID is pending; denied: its call was denied; none: no entry matches',
    ),
  spiffe_ids: z.array(z.string()).describe('the first one is the default'),
  entry_ids: z.array(z.string()),
  selectors: selectors,
  unavailable: z.array(z.string()).describe('platforms that do not answer now'),
  notes: z.array(z.string()),
  connected_at: time.describe('start of its oldest open connection'),
  connections: z.int(),
  streams: z.array(z.object({ dialect: z.string(), method: z.string(), since: time, sends: z.int() })),
  svid_issued_at: timeOrNull.describe('when the SVID that expires first was issued'),
  svid_expires_at: timeOrNull,
  denial: z.object({ id: z.string(), code: z.string(), since: time }).nullable().describe('the last denial'),
  error: z.object({ code: z.string(), message: z.string() }).nullable().describe('why it could not be attested'),
})
export type WorkloadRow = z.infer<typeof workload>

const schema = pageOf(workload)
export type WorkloadsAnswer = z.infer<typeof schema>

/** Connected workloads, and what each is served. */
export const workloads = {
  method: 'GET',
  path: '/v1/workloads',
  name: 'workloads',
  summary: 'Workloads that are connected, by pid. `?pid=`, `?spiffe_id=` and `?state=` filter.',
  schema,
  answer: (sources, { query }) => pageOfRows(rowsOf(sources, query), query, sources),
} as const satisfies AdminRoute

function rowsOf(
  { connected, snapshot, clock }: AdminSources,
  { pid, spiffe_id, state }: Readonly<Record<string, string | undefined>>,
): readonly LazyRow<WorkloadRow>[] {
  const fits = (row: WorkloadRow) =>
    (spiffe_id === undefined || row.spiffe_ids.includes(spiffe_id)) && (state === undefined || row.state === state)
  return connected()
    .filter((one) => pid === undefined || String(one.pid) === pid)
    .map((one) => ({
      key: `${String(one.pid).padStart(10, '0')}|${one.key}`,
      make: () => {
        const row = workloadRow(one.describe(), snapshot(), clock.now())
        return fits(row) ? row : null
      },
    }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
}

/** Pure. */
export function workloadRow(listing: WorkloadListing, snapshot: Pick<Snapshot, 'states'>, now: number): WorkloadRow {
  const { pid, uid, gid, program, state, entries, denial, connections } = listing
  const found = state.kind === 'attested' ? state.selectors : new Map<string, string>()
  const svids = entries.flatMap(({ id }) => {
    const known = snapshot.states.get(id)
    return known?.kind === 'issued' && now < known.held.svid.notAfter ? [known.held.svid] : []
  })
  const first = svids.reduce<(typeof svids)[number] | null>(
    (soonest, svid) => (soonest && soonest.notAfter <= svid.notAfter ? soonest : svid),
    null,
  )
  const streams = connections.flatMap((connection) => connection.streams)
  return {
    pid,
    uid,
    gid,
    program,
    ...originOf(found),
    state: stateOf(listing, svids.length > 0),
    spiffe_ids: entries.map(({ spiffeId }) => spiffeId.uri),
    entry_ids: entries.map(({ id }) => id),
    selectors: Object.fromEntries(found),
    unavailable: state.kind === 'attested' ? [...state.unavailable] : [],
    notes: state.kind === 'attested' ? state.notes.map(({ attestor, text }) => `${attestor}: ${text}`) : [],
    connected_at: iso(Math.min(...connections.map(({ since }) => since))),
    connections: connections.length,
    streams: streams.map(({ dialect, method, since, sent }) => ({ dialect, method, since: iso(since), sends: sent })),
    svid_issued_at: isoOrNull(first?.notBefore ?? null),
    svid_expires_at: isoOrNull(first?.notAfter ?? null),
    denial: denial && { id: denial.id, code: denial.code, since: iso(denial.since) },
    error: state.kind === 'failed' ? { code: state.error.code, message: state.error.message } : null,
  }
}

function stateOf({ state, entries, denial }: WorkloadListing, issued: boolean): WorkloadRow['state'] {
  if (state.kind === 'pending') return 'waiting'
  if (state.kind === 'failed') return 'denied'
  if (issued) return 'served'
  if (denial) return 'denied'
  return entries.length > 0 ? 'waiting' : 'none'
}

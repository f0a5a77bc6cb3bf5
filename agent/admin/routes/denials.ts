import * as z from 'zod'
import { iso } from '../../lib/time.js'
import type { RecordedDenial } from '../denials.js'
import { pageOfRows } from '../page.js'
import type { AdminRoute } from '../route.js'
import { pageOf, time } from '../shapes.js'

export const denialFields = {
  id: z.string().describe('the denial id in the error that the caller got'),
  time: time,
  last_time: time,
  count: z.int().describe('how often the same process was denied for the same reason'),
  pid: z.int(),
  uid: z.int(),
  gid: z.int(),
  program: z.string().nullable(),
  container: z.string().nullable(),
  pod: z.string().nullable(),
  unit: z.string().nullable(),
  method: z.string(),
  code: z.string(),
  reason: z.string(),
}
const denialRow = z.object(denialFields)
export type DenialRow = z.infer<typeof denialRow>

const schema = pageOf(denialRow).extend({
  evicted: z.int().describe('denials evicted since the start to make room for others'),
})
export type DenialsAnswer = z.infer<typeof schema>

/** The latest denials, newest first. */
export const denials = {
  method: 'GET',
  path: '/v1/denials',
  name: 'denials',
  summary: 'The last denials, newest first: at most 50 of a container or user, 1,000 in all. `?pid=` filters.',
  schema,
  answer: async (sources, { query }) => {
    const { denials, clock } = sources
    const all = denials.all()
    // Newest first: a later denial has a smaller key, also within one millisecond.
    const rows = all.map((denial) => ({
      key: `${String(Number.MAX_SAFE_INTEGER - denial.number).padStart(16, '0')}`,
      make: () => (query['pid'] === undefined || String(denial.pid) === query['pid'] ? rowOf(denial) : null),
    }))
    return { ...(await pageOfRows(rows, query, { ...sources, clock })), evicted: denials.evicted }
  },
} as const satisfies AdminRoute

export function rowOf(denial: RecordedDenial): DenialRow {
  const { id, pid, uid, gid, count, program, container, pod, unit, method, code, reason } = denial
  return {
    id,
    time: iso(denial.time),
    last_time: iso(denial.lastTime),
    count,
    pid,
    uid,
    gid,
    program,
    container,
    pod,
    unit,
    method,
    code,
    reason,
  }
}

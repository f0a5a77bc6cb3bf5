import * as z from 'zod'
import { jsonOf } from '../../lib/json.js'
import { iso } from '../../lib/time.js'
import { type AdminRoute, API_VERSION } from '../route.js'
import { head } from '../shapes.js'

const line = z.record(z.string(), z.unknown())

const schema = z.object({
  ...head,
  dropped: z.int().describe('lines since the start that are no longer kept'),
  lines: z.array(line).describe('oldest first, 256 KiB at most; docs/logs.md has the fields'),
})

/** The latest log lines of the agent. */
export const logs = {
  method: 'GET',
  path: '/v1/logs',
  name: 'logs',
  summary: 'The last 256 KiB of log lines, as the log has them.',
  schema,
  answer: ({ recentLog, clock }) => {
    const { lines, dropped } = recentLog()
    const known = lines.flatMap((text) => {
      const { success, data } = line.safeParse(jsonOf(text))
      return success ? [data] : []
    })
    return { api_version: API_VERSION, now: iso(clock.now()), dropped, lines: known }
  },
} as const satisfies AdminRoute

import * as z from 'zod'
import { iso } from '../../lib/time.js'
import type { AdminRoute } from '../route.js'
import { head, isoOrNull, timeOrNull } from '../shapes.js'
import { type AdminSources, LOG_LEVELS } from '../sources.js'

const level = z.enum(LOG_LEVELS)
/** A day. */
const MOST_SECONDS = 86_400

const schema = z.object({
  ...head,
  level: level.describe('in force'),
  configured: level,
  until: timeOrNull.describe('when the configured level is restored'),
})
const wish = z.object({ level, for_seconds: z.number().positive().max(MOST_SECONDS).nullable().optional() })

function answerOf({ clock, logLevel }: AdminSources): z.infer<typeof schema> {
  const { level: inForce, configured, until } = logLevel.report
  return { api_version: 1, now: iso(clock.now()), level: inForce, configured, until: isoOrNull(until) }
}

export const logLevel: AdminRoute & { readonly schema: typeof schema } = {
  method: 'GET',
  path: '/v1/log-level',
  name: 'log-level',
  summary: 'The level of the log, and for how long.',
  schema,
  answer: (sources) => answerOf(sources),
}

export const setLogLevel: AdminRoute & { readonly schema: typeof schema } = {
  method: 'PUT',
  path: '/v1/log-level',
  name: 'log-level-set',
  summary: 'Sets the level of the log, for `for_seconds` or until a reload changes it.',
  schema,
  body: wish,
  answer: (sources, { body }) => {
    const { level: wanted, for_seconds: seconds } = wish.parse(body)
    sources.logLevel.set(wanted, seconds == null ? null : seconds * 1000)
    return answerOf(sources)
  },
}

import * as z from 'zod'
import { iso } from '../../lib/time.js'
import { type AdminRoute, API_VERSION } from '../route.js'
import { head } from '../shapes.js'

const schema = z.object({ ...head, text: z.string().describe('in the text format of Prometheus') })

/** The metrics, also if the health port is off. */
export const metrics = {
  method: 'GET',
  path: '/v1/metrics',
  name: 'metrics',
  summary: 'What `/metrics` of the health port answers, as a text.',
  schema,
  answer: async ({ metricsText, clock }) => {
    const text = await metricsText()
    return { api_version: API_VERSION, now: iso(clock.now()), text }
  },
} as const satisfies AdminRoute

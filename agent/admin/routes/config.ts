import * as z from 'zod'
import { iso } from '../../lib/time.js'
import type { AdminRoute } from '../route.js'
import { head, shownSetting } from '../shapes.js'

const setting = z.object({
  key: z.string(),
  value: shownSetting.describe('the value in force; a secret is [redacted]'),
  source: z.string().describe('a line of the file, a variable, or default'),
  reload: z.enum(['live', 'restart']),
})
const schema = z.object({ ...head, settings: z.array(setting) })

export const config: AdminRoute & { readonly schema: typeof schema } = {
  method: 'GET',
  path: '/v1/config',
  name: 'config',
  summary: 'Every setting in force with its source, secrets redacted.',
  schema,
  answer: ({ settings, clock }): z.infer<typeof schema> => ({
    api_version: 1,
    now: iso(clock.now()),
    settings: settings().map((row) => ({ ...row, value: shownSetting.parse(row.value) })),
  }),
}

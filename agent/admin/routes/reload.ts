import * as z from 'zod'
import { iso } from '../../lib/time.js'
import type { AdminRoute } from '../route.js'
import { head, shownSetting } from '../shapes.js'

const change = z.object({ key: z.string(), from: shownSetting, to: shownSetting })
const finding = z.object({ key: z.string(), source: z.string(), problem: z.string(), remedy: z.string() })

const schema = z.object({
  ...head,
  ok: z.boolean().describe('false: nothing was changed'),
  changed: z.array(change).describe('settings that are now in force'),
  needs_restart: z.array(change).describe('changed settings that take effect after a restart'),
  fixed_by_environment: z
    .array(z.string())
    .describe('settings that variables set, so that the file has no effect on them'),
  problems: z.array(finding),
  warnings: z.array(finding),
})

/** Answers when the reload is done. A request during a reload waits for it. */
export const reload: AdminRoute & { readonly schema: typeof schema } = {
  method: 'POST',
  path: '/v1/reload',
  name: 'reload',
  summary: 'Reloads the configuration, and says what changed and what needs a restart.',
  schema,
  body: z.object({}),
  answer: async ({ reload: run, clock }): Promise<z.infer<typeof schema>> => {
    const { ok, changed, needsRestart, fixedByEnvironment, problems, warnings } = await run()
    return {
      api_version: 1,
      now: iso(clock.now()),
      ok,
      changed: changed.map(shown),
      needs_restart: needsRestart.map(shown),
      fixed_by_environment: [...fixedByEnvironment],
      problems: problems.map((one) => ({ ...one })),
      warnings: warnings.map((one) => ({ ...one })),
    }
  },
}

function shown({ key, from, to }: { readonly key: string; readonly from: unknown; readonly to: unknown }) {
  return { key, from: shownSetting.parse(from), to: shownSetting.parse(to) }
}

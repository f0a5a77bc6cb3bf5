import * as z from 'zod'
import { AgentError } from '../../errors.js'
import { iso } from '../../lib/time.js'
import type { DenialLog, RecordedDenial } from '../denials.js'
import { type AdminRoute, API_VERSION } from '../route.js'
import { head, selectors } from '../shapes.js'
import { denialFields, rowOf } from './denials.js'

const near = z.object({
  entry_id: z.string(),
  spiffe_id: z.string(),
  lacks: z
    .array(z.object({ selector: z.string(), wanted: z.string(), found: z.string().nullable() }))
    .describe('found: the value that the process has for this key; null: none'),
})

/** A denial and the attestation result at that time. */
export const explainedDenial = {
  ...denialFields,
  explanation: z
    .object({
      selectors: selectors,
      unavailable: z.array(z.string()),
      notes: z.array(z.string()),
      nearest: z
        .array(near)
        .nullable()
        .describe('entries nearest to matching; null if they were not searched, as in a flood of denials'),
    })
    .nullable()
    .describe('recorded at the first denial; null if it was too large to keep'),
}
const schema = z.object({ ...head, ...explainedDenial })
export type DenialAnswer = z.infer<typeof schema>

/** One denial with the whole reason for it. */
export const denial = {
  method: 'GET',
  path: '/v1/denials/:id',
  name: 'denial',
  summary: 'One denial, with what was known of the process when it was denied.',
  schema,
  answer: ({ denials, clock }, { params }) => {
    const found = rememberedDenial(denials, params['id'] ?? '')
    return { api_version: API_VERSION, now: iso(clock.now()), ...denialAnswer(found) }
  },
} as const satisfies AdminRoute

/** Throws `admin.not_found`. */
export function rememberedDenial(denials: Pick<DenialLog, 'get'>, id: string): RecordedDenial {
  const found = denials.get(id)
  if (found) return found
  const why = 'it is older than the start of the agent, was evicted to make room for others, or never existed'
  throw new AgentError('admin.not_found', `no denial ${JSON.stringify(id.slice(0, 64))} is remembered: ${why}`)
}

export function denialAnswer(denial: RecordedDenial) {
  return { ...rowOf(denial), explanation: explanationOf(denial) }
}

function explanationOf({ explanation }: RecordedDenial): DenialAnswer['explanation'] {
  if (!explanation) return null
  return {
    selectors: Object.fromEntries(explanation.selectors),
    unavailable: [...explanation.unavailable],
    notes: explanation.notes.map(({ attestor, text }) => `${attestor}: ${text}`),
    nearest:
      explanation.nearest?.map(({ id, spiffeId, lacks }) => ({
        entry_id: id,
        spiffe_id: spiffeId,
        lacks: lacks.map(({ key, wanted, found }) => ({ selector: key, wanted, found })),
      })) ?? null,
  }
}

import * as z from 'zod'
import { iso, secondsOf } from '../../lib/time.js'
import type { NearEntry } from '../../observability/api-events.js'
import { entryStatus } from '../../svids/entry-status.js'
import type { Snapshot } from '../../svids/snapshot.js'
import type { Decision } from '../../workload-api/decision.js'
import type { Explanation } from '../../workload-api/explain.js'
import type { Explained, ExplainedProcess, ExplainTarget } from '../../workload-api/explainer.js'
import type { RecordedDenial } from '../denials.js'
import { type AdminRoute, API_VERSION } from '../route.js'
import { head, isoOrNull, timeOrNull } from '../shapes.js'
import type { AdminSources } from '../sources.js'
import { denialAnswer, explainedDenial, rememberedDenial } from './denial.js'

/** `namespace/name`, as Kubernetes allows them. */
const POD = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?\/[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?$/
/** Linux gives no higher pid. */
export const MAX_PID = 2 ** 22
/** As container engines print and take them. */
const CONTAINER = /^[0-9a-f]{12,64}$/

const pid = z.int().min(1).max(MAX_PID)
const body = z
  .strictObject({
    pid: pid.optional(),
    container: z.string().regex(CONTAINER, 'a container is 12 to 64 hexadecimal digits of its id').optional(),
    pod: z.string().max(317).regex(POD, 'a pod is NAMESPACE/NAME').optional(),
    denial: z.string().max(64).optional(),
  })
  .refine((asked) => Object.values(asked).filter((value) => value !== undefined).length === 1, {
    message: 'one of pid, container, pod and denial is needed',
  })

const pair = z.object({ selector: z.string(), value: z.string() })
const decision = z.object({
  kind: z.enum(['send', 'hold', 'refuse']),
  code: z.string().nullable().describe('the error code of a refusal, or of what the call waits for; null for send'),
  text: z.string().nullable().describe('the message that the caller gets, or would get at the end of the hold'),
  spiffe_ids: z.array(z.string()).describe('the SPIFFE IDs that are sent; the first one is the default'),
  until: timeOrNull.describe(
    'send: expiry of the SVID that expires first; hold: when the call stops waiting; else null',
  ),
})

const processAnswer = z.object({
  subject: z.object({
    pid: z.int(),
    uid: z.int(),
    gid: z.int(),
    groups: z.array(z.int()),
    command: z.string().describe('the name that the process gave itself'),
    program: z.string().nullable().describe('its executable; null if that is not a file of the host'),
    container: z.string().nullable(),
    container_name: z.string().nullable().describe('name of the container in its pod'),
  }),
  error: z.object({ code: z.string(), message: z.string() }).nullable().describe('why it could not be attested'),
  selectors: z.array(z.object({ selector: z.string(), value: z.string(), attestor: z.string() })),
  unavailable: z.array(z.object({ platform: z.string(), reason: z.string() })),
  notes: z.array(z.object({ attestor: z.string(), text: z.string() })),
  matches: z.array(
    z.object({
      entry_id: z.string(),
      spiffe_id: z.string(),
      state: z.string(),
      code: z.string().nullable(),
      why: z.string().nullable().describe('why it has no SVID'),
      svid_expires_at: timeOrNull,
      retry_at: timeOrNull,
      counts: z.boolean().describe('false: beyond the limit of identities of one workload'),
    }),
  ),
  nearest: z.array(
    z.object({
      entry_id: z.string(),
      spiffe_id: z.string(),
      missing: z.array(pair.extend({ unavailable: z.boolean() })).describe('the process has no selector of that key'),
      different: z.array(z.object({ selector: z.string(), wanted: z.string(), found: z.string() })),
    }),
  ),
  uncertain: z.boolean().describe('more entries might match if the unavailable platforms answered'),
  decision: decision.describe('the decision for a call for X.509-SVIDs now'),
  after_hold: decision.describe('the decision for the same call at the end of the hold, if nothing changes'),
})
export type ProcessAnswer = z.infer<typeof processAnswer>

const schema = z.object({
  ...head,
  how: z.string().describe('how the processes were found'),
  denial: z.object(explainedDenial).nullable(),
  processes: z.array(processAnswer),
  others: z
    .array(z.object({ pid: z.int(), container: z.string(), container_name: z.string().nullable(), why: z.string() }))
    .describe('processes of the same container or pod that are not explained'),
  hold_seconds: z.number(),
  only_a_connection_shows: z.array(z.string()),
})
export type ExplainAnswer = z.infer<typeof schema>

/** What depends on an open connection and cannot be explained from the process. */
const ONLY_A_CONNECTION = [
  'whether its process, container or user connects or calls too often, or has too many connections open now',
  'that the agent is stopping',
  'what a stream that is open was sent before: it keeps its default identity, and is not held again',
  'the ids and the program at the moment of connect(): a process that changes them must connect again',
  'a JWT-SVID: the agent requests it from the server when a process calls',
] as const

/** The identities that a process would get now, and why. */
export const explain = {
  method: 'POST',
  path: '/v1/explain',
  name: 'explain',
  summary:
    'What a process would get now, and why: `{"pid": N}`, `{"container": "ID"}`, `{"pod": "NAMESPACE/NAME"}` or `{"denial": "ID"}`. Acts on nothing.',
  schema,
  body,
  async answer(sources, { body: asked, signal }) {
    const { pid, container, pod, denial } = asked as z.infer<typeof body>
    if (denial !== undefined) return await ofDenial(sources, rememberedDenial(sources.denials, denial), signal)
    const [namespace = '', name = ''] = pod?.split('/') ?? []
    const target: ExplainTarget =
      pid !== undefined ? { pid } : container !== undefined ? { container } : { pod: { namespace, name } }
    return answerOf(sources, await sources.explain(target, signal), null)
  },
} as const satisfies AdminRoute

async function ofDenial(sources: AdminSources, denial: RecordedDenial, signal: AbortSignal): Promise<ExplainAnswer> {
  const { pid, process } = denial
  const nobody = (how: string) => answerOf(sources, { how, processes: [], others: [] }, denial)
  if (sources.processKey(pid) !== process) return nobody(`process ${pid} has ended; this is what was known then`)
  const explained = await sources.explain({ pid }, signal)
  // Another process may have got the pid since the first check.
  if (explained.processes.some(({ key }) => key !== process)) return nobody(`process ${pid} has ended`)
  return answerOf(sources, explained, denial)
}

function answerOf(
  { clock, holdMs }: Pick<AdminSources, 'clock' | 'holdMs'>,
  { how, processes, others }: Explained,
  denial: RecordedDenial | null,
): ExplainAnswer {
  return {
    api_version: API_VERSION,
    now: iso(clock.now()),
    how,
    denial: denial && denialAnswer(denial),
    processes: processes.map(processOf),
    others: others.map(({ pid, container, why }) => {
      return { pid, container: container.id, container_name: container.name, why }
    }),
    hold_seconds: secondsOf(holdMs),
    only_a_connection_shows: [...ONLY_A_CONNECTION],
  }
}

/** Pure. */
export function processOf({ explanation, container, ...process }: ExplainedProcess): ProcessAnswer {
  const { pid, uid, gid, groups, command, program } = process
  const { state, match, snapshot, at } = explanation
  const attested = state.kind === 'attested' ? state : null
  return {
    subject: {
      pid,
      uid,
      gid,
      groups: [...groups],
      command,
      program,
      container: container?.id ?? attested?.selectors.get('docker:container-id') ?? null,
      container_name: container?.name ?? null,
    },
    error: state.kind === 'failed' ? { code: state.error.code, message: state.error.message } : null,
    selectors: selectorsOf(explanation),
    unavailable: (attested?.unavailable ?? []).map((platform) => ({
      platform,
      reason: reasonOf(explanation, platform),
    })),
    notes: (attested?.notes ?? []).map(({ attestor, text }) => ({ attestor, text })),
    matches: matchesOf(explanation),
    nearest: explanation.nearest.map((near) => nearOf(near, attested?.unavailable ?? [])),
    uncertain: match.uncertain,
    decision: decisionOf(explanation.decision, snapshot, at),
    after_hold: decisionOf(explanation.afterHold, snapshot, at),
  }
}

/** The selectors in use; if two attestors found the same one, the first is named. */
function selectorsOf({ state, found }: Explanation): ProcessAnswer['selectors'] {
  if (state.kind !== 'attested') return []
  return [...state.selectors].map(([selector, value]) => {
    const attestor = [...found].find(([, own]) => own.get(selector) === value)?.[0] ?? 'unknown'
    return { selector, value, attestor }
  })
}

/** The notes of the platform's attestors. */
function reasonOf({ state, speakers }: Explanation, platform: string): string {
  const names = speakers.get(platform) ?? []
  const notes = state.kind === 'attested' ? state.notes.filter(({ attestor }) => names.includes(attestor)) : []
  return notes.map(({ text }) => text).join('; ') || 'no reason was noted'
}

function matchesOf({ matches, match, snapshot, at }: Explanation): ProcessAnswer['matches'] {
  const counting = new Set(match.ids)
  return matches.map(({ id, spiffeId }) => {
    const { state, notIssued, failures, svidUntil } = entryStatus(snapshot, id, at)
    return {
      entry_id: id,
      spiffe_id: spiffeId.uri,
      state,
      code: notIssued[0]?.code ?? failures?.code ?? null,
      why: notIssued.map(({ reason }) => reason).join('; ') || null,
      svid_expires_at: isoOrNull(svidUntil),
      retry_at: isoOrNull(failures?.retryAt ?? null),
      counts: counting.has(id),
    }
  })
}

function nearOf({ id, spiffeId, lacks }: NearEntry, unavailable: readonly string[]): ProcessAnswer['nearest'][number] {
  const isUnavailable = (key: string) => unavailable.some((platform) => key.startsWith(`${platform}:`))
  return {
    entry_id: id,
    spiffe_id: spiffeId,
    missing: lacks.flatMap(({ key, wanted, found }) =>
      found === null ? [{ selector: key, value: wanted, unavailable: isUnavailable(key) }] : [],
    ),
    different: lacks.flatMap(({ key, wanted, found }) => (found === null ? [] : [{ selector: key, wanted, found }])),
  }
}

function decisionOf(made: Decision, { entries, states }: Pick<Snapshot, 'entries' | 'states'>, at: number) {
  if (made.kind === 'refuse') {
    return { kind: made.kind, code: made.code, text: made.message, spiffe_ids: [], until: null }
  }
  if (made.kind === 'hold') {
    const { code, message } = made.reason
    return { kind: made.kind, code, text: message, spiffe_ids: [], until: iso(at + made.forMs) }
  }
  const ends = made.ids.flatMap((id) => {
    const state = states.get(id)
    return state?.kind === 'issued' ? [state.held.svid.notAfter] : []
  })
  return {
    kind: made.kind,
    code: null,
    text: null,
    spiffe_ids: made.ids.flatMap((id) => entries.get(id)?.spiffeId.uri ?? []),
    until: ends.length > 0 ? iso(Math.min(...ends)) : null,
  }
}

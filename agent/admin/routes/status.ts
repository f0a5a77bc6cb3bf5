import * as z from 'zod'
import type { Tier } from '../../errors.js'
import { iso, secondsOf } from '../../lib/time.js'
import {
  componentsOf,
  type HealthInput,
  otherTroubles,
  restartReason,
  unreadyReasons,
} from '../../observability/health.js'
import { statusDocument } from '../../observability/health-answers.js'
import type { Trouble } from '../../observability/once.js'
import { CHANGE_KINDS, type RecordedChange } from '../changes.js'
import { type AdminRoute, API_VERSION } from '../route.js'
import { head, isoOrNull, time, timeOrNull } from '../shapes.js'
import type { AdminSources, AuditFigures, ExportFigures } from '../sources.js'
import { denialFields, rowOf } from './denials.js'

/** Denials and changes that `status` shows. */
const LAST_DENIALS = 5

const component = z.object({ status: z.string(), message: z.string(), since: timeOrNull, last_check: time })
const limit = z.object({
  requests_per_minute: z.number().describe('the present pace, by the limits and the 429s of the server'),
  opens_in_seconds: z.number().describe('until the next request may be sent; 0: now'),
  pressure: z.number().describe('0: no recent 429; 1: 429s keep coming'),
})

const trouble = z.object({ code: z.string(), message: z.string(), since: time }).nullable()
const exported = z.object({ to: z.string(), trouble }).nullable().describe('null: it is off')

const schema = z.object({
  ...head,
  status: z.enum(['healthy', 'degraded', 'unhealthy', 'starting']),
  ready: z.boolean(),
  unready_reasons: z.array(z.string()),
  version: z.string().describe('of the agent'),
  uptime_seconds: z.int(),
  start_time: time,
  degraded_since: timeOrNull,
  components: z.record(z.string(), component),
  health: z.object({
    reasons: z.array(z.object({ component: z.string(), status: z.string(), reason: z.string(), since: timeOrNull })),
  }),
  agent: z.object({
    tenant_id: z.string(),
    node_id: z.string(),
    spiffe_id: z.string().nullable(),
    svid_expires_at: timeOrNull,
  }),
  agent_svid: z.object({
    state: z.string(),
    since: time,
    reason: z.object({ code: z.string(), message: z.string() }).nullable(),
    spiffe_id: z.string().nullable(),
    serial: z.string().nullable(),
    issued_at: timeOrNull,
    expires_at: timeOrNull,
    renew_at: timeOrNull,
  }),
  icp_service: z.object({ address: z.string(), clock_skew_seconds: z.number().nullable() }),
  server: z.object({
    address: z.string(),
    reachable: z.boolean().nullable().describe('null before the first request has ended'),
    last_answer_at: timeOrNull,
    trouble,
    clock_skew_seconds: z.number().nullable(),
    rate_limit: z.record(z.string(), limit),
  }),
  workload_api: z.object({ socket_path: z.string(), connections: z.int(), streams: z.int(), workloads: z.int() }),
  sync: z.object({ interval_seconds: z.number(), last_success: timeOrNull, age_seconds: z.number().nullable() }),
  entries: z.object({
    by_state: z.record(z.string(), z.int()),
    never_issued_total: z.int(),
    never_issued: z.array(z.object({ id: z.string(), spiffe_id: z.string(), code: z.string(), reason: z.string() })),
  }),
  svids: z.int(),
  attestors: z.array(z.object({ name: z.string(), active: z.boolean(), reason: z.string() })),
  broken_files: z.array(z.object({ path: z.string(), code: z.string(), problem: z.string(), since: time })),
  node: z.record(z.string(), z.unknown()).nullable(),
  audit: z.object({
    path: z.string().nullable().describe('null: there is no audit log'),
    fail_closed: z.boolean(),
    waiting_bytes: z.int().describe('bytes that are not written yet'),
    trouble,
  }),
  telemetry: z.object({ traces: exported, metrics: exported }).describe('what OpenTelemetry exports'),
  reload: z.object({
    last: z
      .object({
        time,
        ok: z.boolean(),
        changed: z.array(z.string()).describe('settings'),
        needs_restart: z.array(z.string()).describe('settings'),
        problems: z.array(z.object({ key: z.string(), problem: z.string() })),
      })
      .nullable()
      .describe('null before the first'),
  }),
  changes: z
    .array(z.object({ time, kind: z.enum(CHANGE_KINDS), text: z.string(), subject: z.string().nullable() }))
    .describe('newest first, 100 at most'),
  denials: z.array(z.object(denialFields)).describe('the last five'),
  denials_total: z.int().describe('remembered denials'),
  process: z.object({
    pid: z.int(),
    rss_bytes: z.int(),
    heap_bytes: z.int(),
    event_loop_turn_seconds: z.number().describe('duration of one iteration of the event loop at this request'),
  }),
})
export type StatusAnswer = z.infer<typeof schema>

/** All that `icp-agent status` shows. */
export const status = {
  method: 'GET',
  path: '/v1/status',
  name: 'status',
  summary: "Health with reasons, the server, the agent's own SVID, entries by state, the latest changes and denials.",
  schema,
  answer: async (sources) => {
    const asked = sources.clock.monotonic()
    await sources.turn()
    return statusAnswer(sources, sources.clock.monotonic() - asked)
  },
} as const satisfies AdminRoute

/** `turnMs`: duration of one iteration of the event loop. */
export function statusAnswer(sources: AdminSources, turnMs: number): Record<string, unknown> {
  const input = sources.health()
  const { body } = statusDocument(input, turnMs, sources.names, sources.version)
  const { changes, denials } = sources
  const { pid, rssBytes, heapBytes } = sources.process()
  return {
    api_version: API_VERSION,
    now: iso(input.now),
    ...body,
    health: { reasons: reasonsOf(input, turnMs) },
    agent_svid: ownSvid(sources),
    server: server(sources, input),
    workload_api: { ...Object(body['workload_api']), workloads: sources.connected().length },
    audit: auditOf(sources.audit()),
    telemetry: telemetryOf(sources),
    reload: { last: lastReload(sources) },
    changes: changes.all.map(changeOf).reverse(),
    denials: denials.last(LAST_DENIALS).map(rowOf),
    denials_total: denials.size,
    process: { pid, rss_bytes: rssBytes, heap_bytes: heapBytes, event_loop_turn_seconds: Math.round(turnMs) / 1000 },
  }
}

function auditOf({ path, failClosed, waiting, trouble }: AuditFigures): StatusAnswer['audit'] {
  return { path, fail_closed: failClosed, waiting_bytes: waiting, trouble: told(trouble) }
}

function telemetryOf({ telemetry }: AdminSources): StatusAnswer['telemetry'] {
  const { traces, metrics } = telemetry()
  const of = (figures: ExportFigures | null) => figures && { to: figures.to, trouble: told(figures.trouble) }
  return { traces: of(traces), metrics: of(metrics) }
}

function told(trouble: Trouble | null): StatusAnswer['audit']['trouble'] {
  return trouble && { code: trouble.code, message: trouble.message, since: iso(trouble.since) }
}

function lastReload({ lastReload }: AdminSources): StatusAnswer['reload']['last'] {
  const last = lastReload()
  if (last === null) return null
  const keys = (settings: readonly { readonly key: string }[]) => settings.map(({ key }) => key)
  return {
    time: iso(last.at),
    ok: last.ok,
    changed: keys(last.changed),
    needs_restart: keys(last.needsRestart),
    problems: last.problems.map(({ key, problem }) => ({ key, problem })),
  }
}

function changeOf({ time, kind, text, subject }: RecordedChange) {
  return { time: iso(time), kind, text, subject }
}

function reasonsOf(input: HealthInput, turnMs: number): StatusAnswer['health']['reasons'] {
  const restart = restartReason(input, turnMs)
  const components = Object.entries(componentsOf(input)).flatMap(([component, { status, message, since }]) =>
    status === 'healthy' ? [] : [{ component, status, reason: message, since: isoOrNull(since) }],
  )
  const others = otherTroubles(input).map(({ message, since }) => {
    return { component: 'agent', status: 'degraded', reason: message, since: isoOrNull(since) }
  })
  const told = new Set([...components, ...others].map(({ reason }) => reason))
  const more = [...(restart === null ? [] : [restart]), ...unreadyReasons(input)].filter((reason) => !told.has(reason))
  return [
    ...components,
    ...others,
    ...more.map((reason) => ({ component: 'agent', status: 'not ready', reason, since: null })),
  ]
}

function ownSvid({ ownSvid, ownState, ownRenewAt }: AdminSources): StatusAnswer['agent_svid'] {
  const own = ownSvid()
  const { kind, since, reason } = ownState()
  return {
    state: kind,
    since: iso(since),
    reason: reason ? { code: reason.code, message: reason.message } : null,
    spiffe_id: own?.spiffeId.uri ?? null,
    serial: own?.serial ?? null,
    issued_at: isoOrNull(own?.notBefore ?? null),
    expires_at: isoOrNull(own?.notAfter ?? null),
    renew_at: isoOrNull(ownRenewAt()),
  }
}

function server({ limits }: AdminSources, { icpService }: HealthInput): StatusAnswer['server'] {
  const { address, reachedAt, trouble, skewMs } = icpService
  const figures = Object.entries(limits()) as [Tier, ReturnType<AdminSources['limits']>[Tier]][]
  return {
    address,
    reachable: trouble !== null ? false : reachedAt === null ? null : true,
    last_answer_at: isoOrNull(reachedAt),
    trouble: told(trouble),
    clock_skew_seconds: skewMs === null ? null : secondsOf(skewMs),
    rate_limit: Object.fromEntries(
      figures.map(([tier, { perMinute, opensInMs, pressure }]) => [
        tier,
        {
          requests_per_minute: Math.round(perMinute * 10) / 10,
          opens_in_seconds: secondsOf(opensInMs),
          pressure: Math.round(pressure * 100) / 100,
        },
      ]),
    ),
  }
}

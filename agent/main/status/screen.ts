import type { StatusAnswer } from '../../admin/routes/status.js'
import { printable } from '../../observability/printable.js'
import { bar, lifeColour } from '../terminal/bar.js'
import { count } from '../terminal/count.js'
import { clip, type TextPart, wrap } from '../terminal/parts.js'
import { span } from '../terminal/time.js'
import { ago, life, placeOf, shortened, type TextView, when } from './view.js'

const LABEL = 10
/** Rows without a terminal that limits the height. */
const CHANGES = 12
/** A terminal with at least this many lines shows more than the minimum. */
const ROOMY = 40
const COLOURS = { healthy: 'green', degraded: 'yellow', unhealthy: 'red', starting: 'blue' } as const
const STATES = ['issued', 'idle', 'wanted', 'refused', 'shadowed', 'rejected'] as const

/** The status of an agent on one screen, with as many changes and denials as fit. */
export function statusScreen(answer: StatusAnswer, view: TextView): string[] {
  const { columns } = view
  const row = (label: string, ...parts: TextPart[]) => {
    const safe = parts.map(([raw, paint]): TextPart => {
      const text = printable(shortened(raw, view))
      return paint ? [text, paint] : [text]
    })
    return clip([[label.padEnd(LABEL), view.style.dim], ...safe], columns)
  }
  const rows = (label: string, lines: readonly TextPart[][]) => lines.map((parts, i) => row(i ? '' : label, ...parts))
  const top = [
    heading(answer, view),
    ...rows('health', health(answer, view)),
    ...rows('server', server(answer, view)),
    ...rows('own SVID', ownSvid(answer, view)),
    ...rows('workloads', [workloads(answer)]),
    ...rows('entries', entries(answer, view)),
    ...rows('platforms', platforms(answer, view)),
    ...rows('audit', audit(answer, view)),
    ...rows('config', config(answer, view)),
  ]
  const room = view.rows - top.length - 2
  const denied = answer.denials.slice(0, Number.isFinite(room) ? Math.max(1, Math.min(5, Math.floor(room / 2))) : 5)
  const changed = answer.changes.slice(
    0,
    Number.isFinite(room) ? Math.max(0, room - Math.max(1, denied.length)) : CHANGES,
  )
  return [
    ...top,
    '',
    ...rows('changed', changes(changed, answer, view)),
    '',
    ...rows('denied', denials(denied, answer, view)),
  ]
}

function heading(
  { status, ready, version, uptime_seconds, agent, process }: StatusAnswer,
  { style, columns }: TextView,
): string {
  const { bold, dim } = style
  const word = ready || status === 'starting' ? status : `${status}, not ready`
  return clip(
    [
      [printable(agent.node_id), bold],
      ['  '],
      [word, (text) => bold(style[COLOURS[status]](text))],
      [`  up ${span(uptime_seconds * 1000)}`],
      [`  icp-agent ${printable(version)}, pid ${process.pid}, ${Math.round(process.rss_bytes / 1_048_576)} MiB`, dim],
    ],
    columns,
  )
}

function health({ health: { reasons }, now }: StatusAnswer, { style, columns }: TextView): TextPart[][] {
  if (reasons.length === 0) return [[['everything works', style.green]]]
  const width = columns - LABEL
  // The rest of a long reason is in -o json.
  const most = reasons.length === 1 ? 3 : 2
  return reasons.flatMap(({ component, status, reason, since }) => {
    const paint = status === 'unhealthy' ? style.red : status === 'starting' ? style.blue : style.yellow
    const text = `${component}${since === null ? '' : ` for ${ago(since, now)}`}: ${reason}`
    return wrap(text.split(' '), width, ' ')
      .slice(0, most)
      .map((line): TextPart[] => [[line, paint]])
  })
}

function server({ server, sync, now }: StatusAnswer, { style }: TextView): TextPart[][] {
  const { reachable, address, last_answer_at, clock_skew_seconds: skew, rate_limit } = server
  const reached: TextPart =
    reachable === null ? ['not asked yet', style.blue] : reachable ? ['reachable', style.green] : ['away', style.red]
  const answered = last_answer_at === null ? '' : `  answered ${ago(last_answer_at, now)} ago`
  const slow = Object.entries(rate_limit).filter(
    ([, { pressure, opens_in_seconds }]) => pressure > 0.05 || opens_in_seconds > 1,
  )
  const limits: TextPart[] =
    slow.length === 0
      ? [['rate limit not met', style.dim]]
      : slow.map(([tier, { requests_per_minute, opens_in_seconds }]): TextPart => {
          const wait = opens_in_seconds > 0 ? `, next in ${Math.ceil(opens_in_seconds)} s` : ''
          return [`rate limit ${tier}: ${requests_per_minute} a minute${wait}  `, style.yellow]
        })
  const synced = sync.last_success === null ? 'entries not read yet' : `entries read ${ago(sync.last_success, now)} ago`
  const skewed: TextPart[] =
    skew === null ? [] : [[`  clock skew ${skew} s`, Math.abs(skew) > 30 ? style.yellow : style.dim]]
  return [
    [reached, [`  ${address}${answered}`]],
    [[`${synced}  `], ...limits, ...skewed],
  ]
}

function ownSvid({ agent_svid, now }: StatusAnswer, { style, columns }: TextView): TextPart[][] {
  const { state, issued_at, expires_at, renew_at, spiffe_id, reason } = agent_svid
  if (expires_at === null) return [[[`${state}${reason ? `: ${reason.message}` : ''}`, style.yellow]]]
  const { text, left } = life(issued_at, expires_at, now, barWidth(columns))
  const renewal =
    renew_at === null
      ? ''
      : Date.parse(renew_at) <= Date.parse(now)
        ? '  renews now'
        : `  renews in ${span(Date.parse(renew_at) - Date.parse(now))}`
  const odd: TextPart[] = state === 'valid' ? [] : [[`  ${state}`, style.yellow]]
  return [[[text, lifeColour(left, style)], [renewal, style.dim], ...odd, [`  ${spiffe_id ?? ''}`]]]
}

function barWidth(columns: number): number {
  return Number.isFinite(columns) ? Math.max(12, Math.min(48, Math.floor(columns / 5))) : 24
}

function workloads({
  workload_api: { workloads, connections, streams, socket_path },
  svids,
}: StatusAnswer): TextPart[] {
  const open = [count(connections, 'connection'), count(streams, 'stream'), count(svids, 'valid SVID')].join(', ')
  return [[`${workloads} connected: ${open}  ${socket_path}`]]
}

function entries({ entries: { by_state, never_issued } }: StatusAnswer, { style, columns }: TextView): TextPart[][] {
  const known = STATES.map((state) => [state, by_state[state] ?? 0] as const)
  const all = known.reduce((sum, [, n]) => sum + n, 0)
  const shown = known.filter(([, n]) => n > 0)
  const paints = {
    issued: style.green,
    wanted: style.yellow,
    refused: style.red,
    rejected: style.red,
    idle: style.dim,
    shadowed: style.dim,
  }
  const { full, empty } = bar(all === 0 ? 0 : (by_state['issued'] ?? 0) / all, barWidth(columns))
  const figures = shown.map(([state, n]): TextPart => [`  ${n} ${state}`, paints[state]])
  const first: TextPart[] = [[full, style.green], [empty, style.dim], [`  ${all} in all`], ...figures]
  const worst = never_issued.filter(({ code }) => code !== 'entry.shadowed').slice(0, 2)
  return [first, ...worst.map(({ spiffe_id, reason }): TextPart[] => [[`${spiffe_id}: ${reason}`, style.red]])]
}

function platforms({ attestors }: StatusAnswer, { style, rows }: TextView): TextPart[][] {
  if (attestors.length === 0) return [[['none checked yet', style.dim]]]
  const paint = (active: boolean) => (active ? style.green : style.dim)
  const word = (name: string, active: boolean) => `${name} ${active ? 'on' : 'off'}`
  // The reason, if there is room.
  if (rows >= ROOMY) {
    return attestors.map(({ name, active, reason }): TextPart[] => [
      [word(name, active).padEnd(16), paint(active)],
      [reason, style.dim],
    ])
  }
  return [attestors.map(({ name, active }): TextPart => [`${word(name, active)}  `, paint(active)])]
}

/** Empty if there is none. */
function audit(
  { audit: { path, trouble, waiting_bytes, fail_closed } }: StatusAnswer,
  { style }: TextView,
): TextPart[][] {
  if (path === null) return []
  const closed: TextPart = [fail_closed ? '  fail_closed' : '', style.dim]
  // The reason is shown with the health.
  if (trouble) return [[['not written', style.red], [`  ${path}, ${waiting_bytes} bytes wait`], closed]]
  return [[['written', style.green], [`  ${path}`], closed]]
}

/** Empty before the first reload. */
function config({ reload: { last }, now }: StatusAnswer, { style }: TextView): TextPart[][] {
  if (last === null) return []
  const at = `${ago(last.time, now)} ago`
  if (!last.ok) {
    const keys = last.problems.map(({ key }) => key).join(', ')
    return [[['not reloaded', style.red], [`  ${at}: ${keys}; what was in force before stays`]]]
  }
  const waits: TextPart[] =
    last.needs_restart.length > 0 ? [[`  waits for a restart: ${last.needs_restart.join(', ')}`, style.yellow]] : []
  return [[['reloaded', style.green], [`  ${at}, changed: ${last.changed.join(', ') || 'nothing'}`], ...waits]]
}

function changes(changed: StatusAnswer['changes'], { now }: StatusAnswer, { style }: TextView): TextPart[][] {
  if (changed.length === 0) return [[['nothing since the start', style.dim]]]
  return changed.map(({ time, kind, text }): TextPart[] => {
    return [[`${when(time, now)}  `, style.dim], [kind.padEnd(9), style.cyan], [text]]
  })
}

function denials(
  denied: StatusAnswer['denials'],
  { now, denials_total }: StatusAnswer,
  { style }: TextView,
): TextPart[][] {
  if (denied.length === 0) return [[[denials_total === 0 ? 'none since the start' : '', style.dim]]]
  return denied.map((one): TextPart[] => {
    const times = one.count > 1 ? ` ${one.count} times` : ''
    const who = [`pid ${one.pid}`, `uid ${one.uid}`, placeOf(one), one.program ?? '']
      .filter((text) => text !== '')
      .join(' ')
    return [
      [`${when(one.last_time, now)}  `, style.dim],
      [one.code, style.red],
      // The id for `status denials ID` is not truncated in a narrow terminal.
      [`  ${one.id}  `, style.dim],
      [`${who}${times}`],
    ]
  })
}

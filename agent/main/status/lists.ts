import type { BundlesAnswer } from '../../admin/routes/bundles.js'
import type { DenialAnswer } from '../../admin/routes/denial.js'
import type { DenialsAnswer } from '../../admin/routes/denials.js'
import type { EntryListing } from '../../admin/routes/entries.js'
import type { WorkloadsAnswer } from '../../admin/routes/workloads.js'
import { printable } from '../../observability/printable.js'
import { count } from '../terminal/count.js'
import { table } from '../terminal/table.js'
import { ago, life, lifePaint, placeOf, selectorLine, shortened, type TextView, when } from './view.js'

const BAR = 8
const STATE_PAINTS = {
  served: 'green',
  issued: 'green',
  waiting: 'yellow',
  wanted: 'yellow',
  denied: 'red',
  refused: 'red',
  none: 'dim',
  idle: 'dim',
  shadowed: 'dim',
} as const

/** One line per workload: what it is, what it is served, and until when. */
export function workloadLines({ rows, total, now }: WorkloadsAnswer, view: TextView): string[] {
  const lives = rows.map((row) => life(row.svid_issued_at, row.svid_expires_at, now, BAR))
  return listed(
    `${count(total, 'workload')} connected`,
    table(
      [
        { title: 'PID', paint: view.style.bold },
        { title: 'UID' },
        { title: 'STATE', paint: statePaint(rows, view) },
        { title: 'SVID UNTIL', paint: lifePaint(lives, view.style) },
        { title: 'SPIFFE IDS', paint: view.style.cyan },
        { title: 'PROGRAM' },
        { title: 'WHERE' },
        { title: 'SINCE', paint: view.style.dim },
        { title: 'STREAMS', paint: view.style.dim },
      ],
      rows.map((row, i) => [
        String(row.pid),
        String(row.uid),
        row.state,
        lives[i]?.text || (row.error?.code ?? row.denial?.code ?? '-'),
        shortened(row.spiffe_ids.join(', '), view) || '-',
        row.program ?? '-',
        placeOf(row) || '-',
        ago(row.connected_at, now),
        streamsOf(row) || '-',
      ]),
      0,
      view.columns,
    ),
  )
}

/** `spiffe FetchX509SVID (2 sent)`, once for equal streams. */
function streamsOf({ streams }: WorkloadsAnswer['rows'][number]): string {
  const counts = new Map<string, number>()
  for (const { dialect, method } of streams) {
    counts.set(`${dialect} ${method}`, (counts.get(`${dialect} ${method}`) ?? 0) + 1)
  }
  return [...counts].map(([name, n]) => (n === 1 ? name : `${n} × ${name}`)).join(', ')
}

export function entryLines({ rows, total, now }: EntryListing, view: TextView): string[] {
  const lives = rows.map(({ svid }) => life(svid?.issued_at ?? null, svid?.expires_at ?? null, now, BAR))
  return listed(
    count(total, 'entry', 'entries'),
    table(
      [
        { title: 'STATE', paint: statePaint(rows, view) },
        { title: 'SVID UNTIL', paint: lifePaint(lives, view.style) },
        { title: 'USED BY' },
        { title: 'SPIFFE ID', paint: view.style.cyan },
        { title: 'SELECTORS' },
        { title: 'WHY NOT', paint: view.style.yellow },
        { title: 'ID', paint: view.style.dim },
      ],
      rows.map((row, i) => [
        row.state,
        lives[i]?.text || '-',
        String(row.wanted_by),
        shortened(row.spiffe_id, view),
        selectorLine(row.selectors) || '-',
        row.reason ?? (row.code === null ? '-' : `${row.code}, failed ${count(row.failures, 'time')}`),
        row.id,
      ]),
      0,
      view.columns,
    ),
  )
}

export function denialLines({ rows, total, evicted, now }: DenialsAnswer, view: TextView): string[] {
  const forgotten = evicted === 0 ? '' : `, ${evicted} forgotten to make room`
  const { bold, dim, red } = view.style
  return listed(
    `${count(total, 'denial')} remembered${forgotten}; \`status denials ID\` tells why`,
    table(
      [
        { title: 'ID', paint: bold },
        { title: 'LAST', paint: dim },
        { title: 'TIMES' },
        { title: 'CODE', paint: red },
        { title: 'PID' },
        { title: 'UID' },
        { title: 'PROGRAM' },
        { title: 'WHERE' },
        { title: 'METHOD', paint: dim },
      ],
      rows.map((row) => [
        row.id,
        when(row.last_time, now),
        String(row.count),
        row.code,
        String(row.pid),
        String(row.uid),
        row.program ?? '-',
        placeOf(row) || '-',
        row.method,
      ]),
      0,
      view.columns,
    ),
  )
}

/** One denial with its explanation. */
export function denialText(answer: DenialAnswer, { style }: TextView): string[] {
  const { explanation: why, now } = answer
  const { bold, dim, red, green } = style
  const field = (name: string, value: string) => `${dim(name.padEnd(12))}${value}`
  const times = answer.count === 1 ? '' : `, ${answer.count} times until ${when(answer.last_time, now)}`
  const lines = [
    `${bold(`denial ${printable(answer.id)}`)}  ${red(answer.code)}`,
    field('reason', printable(answer.reason)),
    field('when', `${when(answer.time, now)}, ${ago(answer.time, now)} ago${times}`),
    field('process', `pid ${answer.pid}, uid ${answer.uid}, gid ${answer.gid}`),
    field('program', printable(answer.program ?? 'unknown')),
    field('where', printable(placeOf(answer) || 'on the host, as far as is known')),
    field('call', answer.method),
  ]
  if (why === null) return [...lines, field('explained', 'too much was known of it to be kept; the log has it')]
  const pairs = Object.entries(why.selectors).map(([key, value]) => `  ${printable(key)} = ${printable(value)}`)
  const nearest = why.nearest ?? []
  return [
    ...lines,
    '',
    dim(count(pairs.length, 'selector')),
    ...pairs,
    ...(why.unavailable.length > 0
      ? ['', dim('platforms that did not answer'), `  ${printable(why.unavailable.join(', '))}`]
      : []),
    ...(why.notes.length > 0 ? ['', dim('notes'), ...why.notes.map((note) => `  ${printable(note)}`)] : []),
    ...(nearest.length > 0 ? ['', dim('entries that it came nearest to')] : []),
    ...nearest.flatMap(({ entry_id, spiffe_id, lacks }) => [
      `  ${printable(spiffe_id)} ${dim(printable(entry_id))}`,
      ...lacks.map(({ selector, wanted, found }) => {
        const has = found === null ? 'the process has none' : `the process has ${red(printable(found))}`
        return `    wants ${printable(selector)} = ${green(printable(wanted))}; ${has}`
      }),
    ]),
  ]
}

export function bundleLines({ rows, total, now }: BundlesAnswer, view: TextView): string[] {
  const { bold, cyan, dim } = view.style
  const all = rows.flatMap(({ trust_domain, x509_authorities, jwt_authorities }) => [
    `${bold(printable(trust_domain))}  ${dim(`${count(x509_authorities.length, 'X.509 authority', 'X.509 authorities')}, ${count(jwt_authorities.length, 'JWT key')}`)}`,
    ...authorityLines(x509_authorities, now, view),
    ...split(
      table(
        [{}, { paint: cyan }, {}],
        jwt_authorities.map(({ key_id, algorithm }) => ['JWT', key_id, algorithm ?? '']),
        2,
        view.columns,
      ),
    ),
  ])
  return [count(total, 'trust domain'), ...all]
}

function authorityLines(
  authorities: BundlesAnswer['rows'][number]['x509_authorities'],
  now: string,
  view: TextView,
): string[] {
  const lives = authorities.map(({ issued_at, expires_at }) => life(issued_at, expires_at, now, BAR))
  const rows = authorities.map(({ fingerprint, state, last_active_at }, i) => [
    'X.509',
    `${fingerprint.slice(0, 16)}…`,
    state,
    lives[i]?.text ?? '',
    last_active_at === null ? '' : `named ${ago(last_active_at, now)} ago`,
  ])
  const columns = [
    {},
    { paint: view.style.cyan },
    {},
    { paint: lifePaint(lives, view.style) },
    { paint: view.style.dim },
  ]
  return split(table(columns, rows, 2, view.columns))
}

function statePaint(rows: readonly { readonly state: keyof typeof STATE_PAINTS }[], { style }: TextView) {
  return (text: string, row: number): string => {
    const state = rows[row]?.state
    return state ? style[STATE_PAINTS[state]](text) : text
  }
}

function listed(title: string, text: string): string[] {
  return [title, ...split(text)]
}

function split(text: string): string[] {
  return text.split('\n').slice(0, -1)
}

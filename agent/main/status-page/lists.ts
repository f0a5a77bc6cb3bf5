import type { DenialRow } from '../../admin/routes/denials.js'
import type { EntryRow } from '../../admin/routes/entries.js'
import type { StatusAnswer } from '../../admin/routes/status.js'
import type { WorkloadRow } from '../../admin/routes/workloads.js'
import type { AgentLook } from './agent-reader.js'
import { type Html, html } from './html.js'
import { badge, chips, life, listOf, NONE, plural, spiffeId, tableOf, when } from './pieces.js'
import { type PageView, shownRows } from './view.js'

export const WORKLOAD_STATES = ['served', 'waiting', 'denied', 'none'] as const
export const ENTRY_STATES = ['issued', 'wanted', 'refused', 'shadowed', 'idle'] as const

export function workloadsSection({ workloads }: AgentLook, view: PageView, now: number): Html {
  const shown = shownRows(workloads, view.workloads, workloadTexts, ({ state }) => state)
  return listOf({ name: 'workloads', view, shown, empty: 'No workload is connected.' }, [
    { title: 'State', cell: ({ state }) => badge(state) },
    { title: 'Process', cell: process },
    { title: 'Runs in', cell: place },
    { title: 'SPIFFE IDs', cell: ({ spiffe_ids }) => ids(spiffe_ids), className: 'ids' },
    {
      title: 'SVID ends',
      cell: (row) => svidOf(row.svid_issued_at, row.svid_expires_at, null, now),
      className: 'life',
    },
    { title: 'Connected', cell: ({ connected_at }) => when(connected_at, now) },
    { title: 'More', cell: (row) => workloadDetails(row, now), className: 'more' },
  ])
}

function workloadTexts(row: WorkloadRow) {
  const { pid, uid, program, container, pod, unit, spiffe_ids, entry_ids, selectors, denial } = row
  const pairs = Object.entries(selectors).map(([key, value]) => `${key}=${value}`)
  return [pid, uid, program, container, pod, unit, ...spiffe_ids, ...entry_ids, ...pairs, denial?.id ?? null]
}

function process({ pid, uid, program }: Pick<WorkloadRow, 'pid' | 'uid' | 'program'>): Html {
  const name = program === null ? NONE : html`<b title="${program}">${program.replace(/^.*\//, '')}</b>`
  return html`${name}<br><span class="dim whole">pid ${pid}</span> <span class="dim whole">uid ${uid}</span>`
}

function place({ container, pod, unit }: Pick<WorkloadRow, 'container' | 'pod' | 'unit'>): Html {
  const lines = [
    pod !== null && html`pod <b>${pod}</b>`,
    container !== null && html`container <span class="mono" title="${container}">${container.slice(0, 12)}</span>`,
    unit !== null && html`<b>${unit}</b>`,
  ].filter((line) => line !== false)
  return lines.length > 0
    ? html`${lines.map((line) => html`<div>${line}</div>`)}`
    : html`<span class="none whole">the host</span>`
}

function ids(spiffeIds: readonly string[]): Html {
  const [first, ...more] = spiffeIds
  if (first === undefined) return NONE
  return html`${spiffeId(first)}${more.length > 0 && html`<br><span class="dim">and ${more.length} more</span>`}`
}

function svidOf(from: string | null, to: string | null, renew: string | null, now: number): Html {
  if (from === null || to === null) return NONE
  return html`${life({ from, to, renew, now })}${when(to, now)}`
}

function workloadDetails(row: WorkloadRow, now: number): Html {
  const { pid, connected_at, selectors, spiffe_ids, entry_ids, unavailable, notes, streams, denial, error } = row
  const calls = streams.map(
    ({ dialect, method, since, sends }) =>
      html`<li>${method} <span class="dim">${dialect}, ${plural(sends, 'message')}, ${when(since, now)}</span></li>`,
  )
  return html`<details id="workload-${pid}-${Date.parse(connected_at)}"><summary>Details<span class="unseen"> of pid ${pid}</span></summary>
${error && html`<h4>Not attested</h4><p>${error.message} <span class="code">${error.code}</span></p>`}
${denial && html`<h4>Denied</h4><p><a href="/denials/${encodeURIComponent(denial.id)}">${denial.id}</a> <span class="code">${denial.code}</span> ${when(denial.since, now)}</p>`}
${spiffe_ids.length > 1 && html`<h4>SPIFFE IDs</h4><ul>${spiffe_ids.map((id) => html`<li>${spiffeId(id)}</li>`)}</ul>`}
<h4>Selectors</h4>${chips(selectors)}
${unavailable.length > 0 && html`<h4>Unavailable</h4><p>${unavailable.join(', ')}</p>`}
${notes.length > 0 && html`<h4>Notes</h4><ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>`}
${entry_ids.length > 0 && html`<h4>Entries</h4><ul>${entry_ids.map((id) => html`<li class="mono">${id}</li>`)}</ul>`}
${calls.length > 0 && html`<h4>Streams</h4><ul>${calls}</ul>`}</details>`
}

export function entriesSection({ entries }: AgentLook, view: PageView, now: number): Html {
  const shown = shownRows(entries, view.entries, entryTexts, ({ state }) => state)
  return listOf({ name: 'entries', view, shown, empty: 'No entry is registered for this node.' }, [
    { title: 'State', cell: (row) => entryState(row, now) },
    { title: 'SPIFFE ID', cell: entryName, className: 'ids' },
    { title: 'Selectors', cell: ({ selectors }) => chips(selectors) },
    { title: 'SVID ends', cell: entryLife(now), className: 'life' },
    { title: 'Since', cell: ({ since }) => when(since, now) },
    {
      title: 'Used by',
      cell: ({ wanted_by }) =>
        wanted_by === 0 ? NONE : html`<span class="whole">${plural(wanted_by, 'workload')}</span>`,
    },
  ])
}

function entryTexts({ id, spiffe_id, selectors, code, reason, svid }: EntryRow) {
  const pairs = Object.entries(selectors).map(([key, value]) => `${key}=${value}`)
  return [id, spiffe_id, ...pairs, code, reason, svid?.serial ?? null]
}

function entryState({ state, code, retry_at, failures }: EntryRow, now: number): Html {
  if (code === null) return badge(state)
  const tries = failures > 0 && html`<br><span class="dim">${plural(failures, 'failure')}</span>`
  return html`${badge(state)}<br><span class="code">${code}</span>${tries}${retry_at !== null && html`<br><span class="dim">again ${when(retry_at, now)}</span>`}`
}

function entryName({ id, spiffe_id, reason }: EntryRow): Html {
  return html`${spiffeId(spiffe_id)}<br><span class="dim mono">${id}</span>${reason !== null && html`<p class="why">${reason}</p>`}`
}

function entryLife(now: number) {
  return ({ svid }: EntryRow) => svidOf(svid?.issued_at ?? null, svid?.expires_at ?? null, svid?.renew_at ?? null, now)
}

export function denialsSection({ denials, evicted }: AgentLook, view: PageView, now: number): Html {
  const texts = (row: DenialRow) => [
    row.id,
    row.pid,
    row.uid,
    row.program,
    row.container,
    row.pod,
    row.unit,
    row.method,
    row.code,
    row.reason,
  ]
  const shown = shownRows(denials, view.denials, texts, () => '')
  const list = listOf({ name: 'denials', view, shown, empty: 'No denials since the agent started.' }, [
    { title: 'Last', cell: ({ last_time }) => when(last_time, now) },
    { title: 'Process', cell: process },
    { title: 'Runs in', cell: place },
    { title: 'Why', cell: why, className: 'why' },
    { title: 'Times', cell: ({ count }) => count },
    { title: 'Explanation', cell: explanation },
  ])
  return html`${list}${evicted > 0 && html`<p class="dim">${plural(evicted, 'older denial')} had to make room.</p>`}`
}

function why({ code, reason, method }: DenialRow): Html {
  return html`<span class="code">${code}</span> <span class="dim">${method}</span><br>${reason}`
}

function explanation({ id }: DenialRow): Html {
  return html`<a class="mono" href="/denials/${encodeURIComponent(id)}" aria-label="Explanation of denial ${id}">${id}</a>`
}

export function changesSection({ status }: AgentLook, view: PageView, now: number): Html {
  type Change = StatusAnswer['changes'][number]
  const texts = ({ kind, text, subject }: Change) => [kind, text, subject]
  const shown = shownRows(status.changes, view.changes, texts, ({ kind }) => kind)
  return listOf({ name: 'changes', view, shown, empty: 'Nothing has changed since the agent started.' }, [
    { title: 'When', cell: ({ time }) => when(time, now) },
    { title: 'Kind', cell: ({ kind }) => html`<span class="badge idle">${kind}</span>` },
    { title: 'What', cell: ({ text }) => text, className: 'what' },
  ])
}

export function bundlesSection({ bundles }: AgentLook, now: number): Html {
  if (bundles.length === 0) return html`<p class="empty">No bundle is served yet.</p>`
  return html`${bundles.map(({ trust_domain, x509_authorities, jwt_authorities }) => {
    const keys = jwt_authorities.map(
      ({ key_id, algorithm }) =>
        html`<li><span class="mono">${key_id}</span> <span class="dim">${algorithm}</span></li>`,
    )
    return html`<h3 class="id">${trust_domain}</h3>${tableOf(
      `X.509 authorities of ${trust_domain}`,
      [
        { title: 'State', cell: ({ state }) => badge(state) },
        {
          title: 'Fingerprint',
          cell: ({ fingerprint }) => html`<span class="mono" title="${fingerprint}">${fingerprint.slice(0, 16)}</span>`,
        },
        {
          title: 'Ends',
          cell: ({ issued_at, expires_at }) => svidOf(issued_at, expires_at, null, now),
          className: 'life',
        },
        { title: 'First seen', cell: ({ first_seen_at }) => when(first_seen_at, now) },
        { title: 'Last active', cell: ({ last_active_at }) => when(last_active_at, now) },
      ],
      x509_authorities,
    )}
<h4>JWT keys</h4>${keys.length > 0 ? html`<ul class="keys">${keys}</ul>` : NONE}`
  })}`
}

export function platformsSection({ status }: AgentLook): Html {
  return tableOf(
    'Platforms',
    [
      { title: 'State', cell: ({ active }) => badge(active ? 'active' : 'off') },
      { title: 'Platform', cell: ({ name }) => html`<b>${name}</b>` },
      { title: 'Why', cell: ({ reason }) => reason, className: 'what' },
    ],
    status.attestors,
  )
}

import { span } from '../terminal/time.js'
import type { AgentLook, ReaderTrouble } from './agent-reader.js'
import { type Html, html } from './html.js'
import { badge, exact, life, NONE, parts, plural, spiffeId, when } from './pieces.js'

const ENTRY_STATES = ['issued', 'wanted', 'refused', 'shadowed', 'idle'] as const
const WORKLOAD_STATES = ['served', 'waiting', 'denied', 'none'] as const

/** Why the page may be out of date. Empty while the agent answers. */
export function troubleSection(look: AgentLook | null, trouble: ReaderTrouble | null): Html {
  if (!trouble) return html``
  const old = look
    ? html`What is shown below is of <b>${exact(look.at)}</b>.`
    : html`No data yet; the page keeps asking.`
  return html`<div class="banner bad"><h2>The agent does not answer</h2><p>${trouble.message} <span class="code">${trouble.code}</span></p><p>${old}</p></div>`
}

/** The first row: the state in four cards. */
export function overviewSection(look: AgentLook, now: number): Html {
  return html`<div class="cards">${health(look, now)}${ownSvid(look, now)}${server(look, now)}${counts(look)}</div>`
}

function health({ status }: AgentLook, now: number): Html {
  const { health, uptime_seconds, version, process, sync } = status
  const reasons = health.reasons.map(
    ({ component, status: state, reason, since }) =>
      html`<li><div>${badge(state)} <b>${component}</b></div><p>${reason}${since !== null && html` <span class="dim">${when(since, now)}</span>`}</p></li>`,
  )
  const said =
    reasons.length > 0 ? html`<ul class="reasons">${reasons}</ul>` : html`<p class="fine">Nothing is wrong.</p>`
  return html`<section class="card ${reasons.length > 0 && 'tall'}" aria-labelledby="health-title"><h2 id="health-title">Health</h2>
<p class="big">${badge(status.status)} ${status.ready ? 'ready' : 'not ready'}</p>${said}
<dl class="values"><div><dt>Version</dt><dd>${version}</dd></div><div><dt>Up for</dt><dd>${span(Math.floor(uptime_seconds / 60) * 60_000)}</dd></div>
<div><dt>Last sync</dt><dd>${when(sync.last_success, now)}</dd></div><div><dt>Memory</dt><dd>${Math.round(process.rss_bytes / 1024 ** 2)} MiB</dd></div>${audit(status)}${lastReload(status, now)}</dl></section>`
}

function audit({ audit: { path, trouble } }: AgentLook['status']): Html | false {
  return path !== null && html`<div><dt>Audit log</dt><dd>${trouble ? 'not written' : path}</dd></div>`
}

function lastReload({ reload: { last } }: AgentLook['status'], now: number): Html | false {
  if (last === null) return false
  const waits = last.needs_restart.length > 0 && html`, waits for a restart: ${last.needs_restart.join(', ')}`
  return html`<div><dt>${last.ok ? 'Reloaded' : 'Reload failed'}</dt><dd>${when(last.time, now)}${waits}</dd></div>`
}

function ownSvid({ status }: AgentLook, now: number): Html {
  const { state, spiffe_id, issued_at, expires_at, renew_at, reason } = status.agent_svid
  const bar =
    issued_at !== null && expires_at !== null && life({ from: issued_at, to: expires_at, renew: renew_at, now })
  return html`<section class="card" aria-labelledby="own-title"><h2 id="own-title">The agent's own SVID</h2>
<p class="big">${badge(state)}</p><p>${spiffe_id === null ? NONE : spiffeId(spiffe_id)}</p>${bar}
${reason && html`<p>${reason.message} <span class="code">${reason.code}</span></p>`}
<dl class="values"><div><dt>Ends</dt><dd>${when(expires_at, now)}</dd></div><div><dt>Is renewed</dt><dd>${when(renew_at, now)}</dd></div>
<div><dt>Issued</dt><dd>${when(issued_at, now)}</dd></div></dl></section>`
}

function server({ status }: AgentLook, now: number): Html {
  const { address, reachable, last_answer_at, trouble, clock_skew_seconds, rate_limit } = status.server
  const state = reachable === null ? 'not asked yet' : reachable ? 'reachable' : 'unreachable'
  const throttled = Object.entries(rate_limit).filter(([, limit]) => limit.pressure > 0 || limit.opens_in_seconds > 1)
  const rates = throttled.map(
    ([tier, { requests_per_minute, opens_in_seconds }]) =>
      html`<div><dt>${tier}</dt><dd>${requests_per_minute} a minute${opens_in_seconds > 0 && `, next in ${opens_in_seconds} s`}</dd></div>`,
  )
  return html`<section class="card" aria-labelledby="server-title"><h2 id="server-title">ICP server</h2>
<p class="big">${badge(state)}</p><p class="mono dim">${address}</p>
${trouble && html`<p>${trouble.message} <span class="code">${trouble.code}</span> <span class="dim">${when(trouble.since, now)}</span></p>`}
<dl class="values"><div><dt>Last answer</dt><dd>${when(last_answer_at, now)}</dd></div>
<div><dt>Clock skew</dt><dd>${clock_skew_seconds === null ? NONE : `${clock_skew_seconds} s`}</dd></div>
${rates.length > 0 ? rates : html`<div><dt>Rate limit</dt><dd>not in the way</dd></div>`}</dl></section>`
}

function counts({ status, workloads }: AgentLook): Html {
  const { by_state } = status.entries
  const entries = ENTRY_STATES.flatMap((name) => {
    const count = by_state[name] ?? 0
    return count > 0 ? [{ name, count }] : []
  })
  const connected = WORKLOAD_STATES.flatMap((name) => {
    const count = workloads.filter(({ state }) => state === name).length
    return count > 0 ? [{ name, count }] : []
  })
  const total = Object.values(by_state).reduce((sum, count) => sum + count, 0)
  const { streams, connections } = status.workload_api
  return html`<section class="card" aria-labelledby="counts-title"><h2 id="counts-title">Entries and workloads</h2>
<p class="sub"><a href="#entries">${plural(total, 'entry', 'entries')}</a></p>${parts(entries)}
<p class="sub"><a href="#workloads">${plural(workloads.length, 'workload')}</a></p>${parts(connected)}
<dl class="values"><div><dt>Connections</dt><dd>${connections}</dd></div><div><dt>Streams</dt><dd>${streams}</dd></div>
<div><dt>Denials kept</dt><dd>${status.denials_total}</dd></div></dl></section>`
}

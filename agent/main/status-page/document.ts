import { CHANGE_KINDS } from '../../admin/changes.js'
import type { DenialAnswer } from '../../admin/routes/denial.js'
import type { AgentLook, ReaderTrouble } from './agent-reader.js'
import { type Html, html, Html as RawHtml, versionOf } from './html.js'
import {
  bundlesSection,
  changesSection,
  denialsSection,
  ENTRY_STATES,
  entriesSection,
  platformsSection,
  WORKLOAD_STATES,
  workloadsSection,
} from './lists.js'
import { overviewSection, troubleSection } from './overview.js'
import { chips, filterForm, NONE, spiffeId, tableOf, when } from './pieces.js'
import { ICON } from './style.js'
import { timelineSection } from './timeline.js'
import type { PageView } from './view.js'

/** Parts of the page that are sent again when they change. */
const SECTIONS = [
  'trouble',
  'overview',
  'timeline',
  'workloads',
  'entries',
  'denials',
  'changes',
  'bundles',
  'platforms',
] as const
type SectionId = (typeof SECTIONS)[number]

export interface PageSection {
  readonly id: SectionId
  /** Changes if the content of the section changes. */
  readonly version: string
  readonly html: Html
}

export interface PageContent {
  readonly look: AgentLook | null
  readonly trouble: ReaderTrouble | null
  readonly now: number
}

/** All sections for the present data. Pure. */
export function sectionsOf({ look, trouble, now }: PageContent, view: PageView): readonly PageSection[] {
  const made: Readonly<Record<SectionId, (look: AgentLook) => Html>> = {
    trouble: () => html``,
    overview: (look) => overviewSection(look, now),
    timeline: (look) => timelineSection(look, now),
    workloads: (look) => workloadsSection(look, view, now),
    entries: (look) => entriesSection(look, view, now),
    denials: (look) => denialsSection(look, view, now),
    changes: (look) => changesSection(look, view, now),
    bundles: (look) => bundlesSection(look, now),
    platforms: (look) => platformsSection(look),
  }
  return SECTIONS.map((id) => {
    const content = id === 'trouble' ? troubleSection(look, trouble) : look ? made[id](look) : html``
    return { id, version: versionOf(content), html: content }
  })
}

/** The live region for screen readers, and the title of the page. */
export function toldOf({ look, trouble }: PageContent): string {
  if (trouble) return 'The agent does not answer'
  if (!look) return 'Nothing is known yet'
  const [reason] = look.status.health.reasons
  return reason ? `${look.status.status}: ${reason.component}` : look.status.status
}

/** The whole page. */
export function statusPage(content: PageContent, view: PageView): Html {
  const sections = new Map(sectionsOf(content, view).map((section) => [section.id, section]))
  const of = (id: SectionId) => {
    const section = sections.get(id)
    return html`<div data-section="${id}" data-version="${section?.version ?? ''}">${section?.html ?? null}</div>`
  }
  const block = (id: SectionId, title: string, form: Html | null = null) =>
    html`<section class="block" id="${id}" aria-labelledby="${id}-title"><header><h2 id="${id}-title">${title}</h2>${form}</header>${of(id)}</section>`
  const form = (name: 'workloads' | 'entries' | 'denials' | 'changes', label: string, states: readonly string[]) =>
    filterForm(name, view[name], { label, states })
  const main = html`${of('trouble')}${of('overview')}
${block('timeline', 'Rotations')}
${block('workloads', 'Workloads', form('workloads', 'Filter workloads', WORKLOAD_STATES))}
${block('denials', 'Denials', form('denials', 'Filter denials', []))}
${block('entries', 'Entries', form('entries', 'Filter entries', ENTRY_STATES))}
<div class="two">${block('bundles', 'Bundles')}${block('platforms', 'Platforms')}</div>
${block('changes', 'What changed last', form('changes', 'Filter changes', CHANGE_KINDS))}`
  const names = ['workloads', 'denials', 'entries', 'bundles', 'changes'] as const
  const links = names.map(
    (name) => html`<li><a href="#${name}">${name.charAt(0).toUpperCase() + name.slice(1)}</a></li>`,
  )
  const nav = html`<nav aria-label="Sections"><ul>${links}</ul></nav><p class="live" id="live">Connecting</p>`
  return frame(content, { title: toldOf(content), nav, main })
}

/** The page of one denial with its explanation. */
export function denialPage(content: PageContent, denial: DenialAnswer): Html {
  const { id, code, reason, method, count, time, last_time, explanation } = denial
  const values: readonly (readonly [string, Html | string | number])[] = [
    ['Denied', html`${when(last_time, content.now)} <span class="dim">${last_time}</span>`],
    ['First', html`${when(time, content.now)} <span class="dim">${time}</span>`],
    ['Times', count],
    ['Method', method],
    ['Process', `pid ${denial.pid}, uid ${denial.uid}, gid ${denial.gid}`],
    ['Program', denial.program ?? NONE],
    ['Container', denial.container ?? NONE],
    ['Pod', denial.pod ?? NONE],
    ['Unit', denial.unit ?? NONE],
  ]
  const main = html`<p class="back"><a href="/#denials">Back to the status</a></p>
<section class="block" aria-labelledby="denial-title"><header><h2 id="denial-title">Denial <span class="mono">${id}</span></h2></header>
<p>${reason} <span class="code">${code}</span></p>
<dl class="values list">${values.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl></section>${explained(explanation)}`
  return frame(content, { title: `Denial ${id}`, nav: null, main })
}

function explained(explanation: DenialAnswer['explanation']): Html {
  if (!explanation) {
    return html`<section class="block"><h2>Explanation</h2><p class="empty">It was too large to keep.</p></section>`
  }
  const { selectors, unavailable, notes, nearest } = explanation
  const near = (nearest ?? []).map(
    ({ entry_id, spiffe_id, lacks }) =>
      html`<h3>${spiffeId(spiffe_id)}</h3><p class="dim mono">${entry_id}</p>${tableOf(
        `What entry ${entry_id} wants`,
        [
          { title: 'Selector', cell: ({ selector }) => html`<span class="mono">${selector}</span>` },
          { title: 'The entry wants', cell: ({ wanted }) => html`<b class="mono">${wanted}</b>` },
          {
            title: 'The process has',
            cell: ({ found }) => (found === null ? NONE : html`<span class="mono">${found}</span>`),
          },
        ],
        lacks,
      )}`,
  )
  return html`<section class="block" aria-labelledby="nearest-title"><h2 id="nearest-title">Nearest entries</h2>
${near.length > 0 ? near : html`<p class="empty">${nearest === null ? 'Not checked: too many denials at once, or the attestation failed.' : 'No entry is near.'}</p>`}</section>
<section class="block" aria-labelledby="selectors-title"><h2 id="selectors-title">What the agent found</h2><h3>Selectors</h3>${chips(selectors)}
<h3>Unavailable platforms</h3>${unavailable.length > 0 ? html`<p>${unavailable.join(', ')}</p>` : NONE}
<h3>Notes</h3>${notes.length > 0 ? html`<ul>${notes.map((note) => html`<li>${note}</li>`)}</ul>` : NONE}</section>`
}

/** A page with a single message, such as that something was not found. */
export function messagePage(content: PageContent, title: string, text: string): Html {
  const main = html`<p class="back"><a href="/">Back to the status</a></p><section class="block"><h2>${title}</h2><p>${text}</p></section>`
  return frame(content, { title, nav: null, main })
}

function frame(
  { look }: PageContent,
  { title, nav, main }: { readonly title: string; readonly nav: Html | null; readonly main: Html },
): Html {
  const node = look
    ? html`<h1>${look.status.agent.node_id}</h1><p>icp-agent ${look.status.version}, trust domain ${look.status.agent.tenant_id}</p>`
    : html`<h1>icp-agent</h1>`
  const live = nav !== null && html`<p class="unseen" id="announce" role="status" aria-live="polite"></p>`
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<title>${title} - icp-agent</title><link rel="icon" href="/icon.svg" type="image/svg+xml"><link rel="stylesheet" href="/style.css"><script src="/script.js" defer></script></head>
<body><a class="skip" href="#main">Skip to content</a>
<header class="top"><div><div class="brand"><span aria-hidden="true">${new RawHtml(ICON)}</span><div>${node}</div></div>${nav}</div></header>${live}
<main id="main" tabindex="-1">${main}</main>
<footer><p>Read-only. Times are relative to this machine's clock; hover to see them in UTC. The page lives as long as the command <span class="mono">icp-agent status --serve</span>.</p><noscript><p>Without JavaScript the page shows what was so when it was loaded; reload it for later.</p></noscript></footer></body></html>`
}

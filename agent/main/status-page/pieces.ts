import { span } from '../terminal/time.js'
import { type Html, html } from './html.js'
import { type ListName, type ListView, PAGE_ROWS, type PageView, queryOf, type ShownRows } from './view.js'

export type Tone = 'good' | 'warn' | 'bad' | 'idle'

/** The style of a state; its word is always shown too. */
const TONES: Readonly<Record<string, Tone>> = {
  healthy: 'good',
  served: 'good',
  issued: 'good',
  valid: 'good',
  active: 'good',
  reachable: 'good',
  degraded: 'warn',
  starting: 'warn',
  waiting: 'warn',
  wanted: 'warn',
  shadowed: 'warn',
  'not ready': 'bad',
  unhealthy: 'bad',
  denied: 'bad',
  refused: 'bad',
  expired: 'bad',
  unreachable: 'bad',
}

export function toneOf(state: string): Tone {
  return TONES[state] ?? 'idle'
}

/** A state as a mark and a word. */
export function badge(state: string): Html {
  return html`<span class="badge ${toneOf(state)}">${state}</span>`
}

const SELECTED = html` selected`
export const NONE = html`<span class="none">none</span>`

/** `3 min ago`, `in 2 h`, updated by the page's script. The title is the exact time. */
export function when(iso: string | null, now: number): Html {
  if (iso === null) return NONE
  const at = Date.parse(iso)
  const text = at > now ? `in ${span(at - now)}` : now - at < 1_000 ? 'now' : `${span(now - at)} ago`
  return html`<time datetime="${iso}" title="${exact(at)}">${text}</time>`
}

/** `2026-01-31 13:05:09 UTC`. */
export function exact(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}

/** The life of an SVID: the remaining time and the renewal. The bar only repeats the text. */
export function life(svid: {
  readonly from: string
  readonly to: string
  readonly renew: string | null
  readonly now: number
}): Html {
  const { from, to, renew, now } = svid
  const [begin, end] = [Date.parse(from), Date.parse(to)]
  const share = (at: number) => Math.max(0, Math.min(100, ((at - begin) / Math.max(1, end - begin)) * 100))
  const left = 100 - share(now)
  const tone = now >= end ? 'bad' : left < 20 ? 'warn' : 'good'
  const mark =
    renew !== null &&
    html`<rect class="mark" x="${(100 - share(Date.parse(renew))).toFixed(1)}" y="0" width="0.8" height="8" />`
  return html`<svg class="bar" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true" data-from="${from}" data-to="${to}"><rect class="rail" width="100" height="8" /><rect class="fill ${tone}" height="8" width="${left.toFixed(1)}" />${mark}</svg>`
}

/** Counts as a bar with parts, with a legend as its text. */
export function parts(rows: readonly { readonly name: string; readonly count: number }[]): Html {
  const total = rows.reduce((sum, { count }) => sum + count, 0)
  let x = 0
  const bars = rows.map(({ name, count }) => {
    const width = total === 0 ? 0 : (count / total) * 100
    const bar = html`<rect class="part ${toneOf(name)}" x="${x.toFixed(2)}" width="${width.toFixed(2)}" height="8" />`
    x += width
    return bar
  })
  return html`<svg class="bar wide" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true"><rect class="rail" width="100" height="8" />${bars}</svg>
<ul class="legend">${rows.map(
    ({ name, count }) => html`<li><span class="dot ${toneOf(name)}"></span><b>${grouped(count)}</b> ${name}</li>`,
  )}</ul>`
}

/** `12 345`, with a thin space that does not break. */
export function grouped(count: number): string {
  return String(count).replace(/\B(?=(?:\d{3})+$)/g, '\u00a0')
}

export function plural(count: number, one: string, many = `${one}s`): string {
  return `${grouped(count)} ${count === 1 ? one : many}`
}

/** A SPIFFE ID with its path highlighted. */
export function spiffeId(id: string): Html {
  const [, domain = '', path = id] = /^(spiffe:\/\/[^/]+)(\/.*)$/.exec(id) ?? []
  return html`<span class="id"><span class="domain">${domain}</span><wbr>${path}</span>`
}

/** Selectors as chips. */
export function chips(selectors: Readonly<Record<string, string>>): Html {
  const pairs = Object.entries(selectors)
  if (pairs.length === 0) return NONE
  return html`<ul class="chips">${pairs.map(([key, value]) => html`<li>${key}=<b>${value}</b></li>`)}</ul>`
}

export interface TableColumn<R> {
  readonly title: string
  readonly cell: (row: R) => Html | string | number
  readonly className?: string
}

/** A table that becomes a list of cards in a narrow window; roles keep it a table for screen readers. */
export function tableOf<R>(caption: string, columns: readonly TableColumn<R>[], rows: readonly R[]): Html {
  const head = columns.map(({ title }) => html`<th role="columnheader" scope="col">${title}</th>`)
  const body = rows.map(
    (row) =>
      html`<tr role="row">${columns.map(
        ({ title, cell, className = '' }) =>
          html`<td role="cell" class="${className}" data-title="${title}"><div>${cell(row)}</div></td>`,
      )}</tr>`,
  )
  return html`<table role="table"><caption class="unseen">${caption}</caption>
<thead role="rowgroup"><tr role="row">${head}</tr></thead><tbody role="rowgroup">${body}</tbody></table>`
}

/** A list with its pages. `words`: the texts if it is empty. */
export function listOf<R>(
  list: { readonly name: ListName; readonly view: PageView; readonly shown: ShownRows<R>; readonly empty: string },
  columns: readonly TableColumn<R>[],
): Html {
  const { name, view, shown, empty } = list
  const { rows, page, pages, matching, total } = shown
  if (total === 0) return html`<p class="empty">${empty}</p>`
  const first = (page - 1) * PAGE_ROWS + 1
  const count = matching === total ? plural(total, 'row') : html`${grouped(matching)} of ${plural(total, 'row')} match`
  const range = pages > 1 && html`, ${grouped(first)} to ${grouped(first + rows.length - 1)} shown`
  const link = (to: number, text: string, id: string) =>
    to < 1 || to > pages
      ? html`<span class="off" aria-disabled="true">${text}</span>`
      : html`<a id="${name}-${id}" data-view href="${queryOf(view, name, { page: to })}#${name}">${text}</a>`
  const pager =
    pages > 1 &&
    html`<nav class="pager" aria-label="Pages of ${name}">${link(page - 1, 'Previous', 'previous')}<span>Page ${grouped(page)} of ${grouped(pages)}</span>${link(page + 1, 'Next', 'next')}</nav>`
  const table = rows.length > 0 && tableOf(name, columns, rows)
  return html`<p class="count" data-count>${count}${range}</p>${table}${pager}`
}

/** The form of a list; without JavaScript its button sends it. */
export function filterForm(
  name: ListName,
  { filter, state }: ListView,
  { label, states }: { readonly label: string; readonly states: readonly string[] },
): Html {
  const options = ['', ...states].map(
    (one) => html`<option value="${one}"${one === state && SELECTED}>${one === '' ? 'all states' : one}</option>`,
  )
  return html`<form class="filter" method="get" action="/#${name}" role="search" aria-label="${label}">
<label><span class="unseen">${label}</span><input type="search" name="${name}" value="${filter}" placeholder="Filter" maxlength="200" autocomplete="off" spellcheck="false"></label>
${states.length > 0 && html`<label><span class="unseen">State</span><select name="${name}.state">${options}</select></label>`}
<button type="submit">Filter</button></form>`
}

import { createHash } from 'node:crypto'
import { printable } from '../../observability/printable.js'

/** Text that is HTML already. */
export class Html {
  constructor(readonly text: string) {}
}

/** What may stand in a template: texts are escaped, null and false are nothing. */
export type HtmlPart = Html | string | number | null | false | readonly HtmlPart[]

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

/** A template in which every value is escaped. Attributes are written with quotes. */
export function html(texts: TemplateStringsArray, ...values: readonly HtmlPart[]): Html {
  return new Html(texts.map((text, i) => text + textOf(values[i] ?? null)).join(''))
}

function textOf(part: HtmlPart): string {
  if (part === null || part === false) return ''
  if (part instanceof Html) return part.text
  if (typeof part === 'number') return String(part)
  if (typeof part === 'string') return printable(part).replace(/[&<>"']/g, (character) => ESCAPES[character] ?? '')
  return part.map(textOf).join('')
}

/**
 * Names what a fragment says. What only moves with the clock (texts of `<time>`, the fill of bars) does not count: the
 * page's script moves it.
 */
export function versionOf({ text }: Html): string {
  const still = text.replace(/(<time[^>]*>)[^<]*/g, '$1').replace(/(<rect class="fill[^>]* width=")[\d.]+/g, '$1')
  return createHash('sha256').update(still).digest('base64url').slice(0, 16)
}

import { createHash } from 'node:crypto'
import { printable } from '../../observability/printable.js'

/** Escaped HTML. */
export class Html {
  constructor(readonly text: string) {}
}

/** Values of a template: texts are escaped, null and false are omitted. */
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
 * A digest of a fragment's content without the parts that change with time (texts of `<time>`, the fill of bars), which the
 * page's script updates.
 */
export function versionOf({ text }: Html): string {
  const still = text.replace(/(<time[^>]*>)[^<]*/g, '$1').replace(/(<rect class="fill[^>]* width=")[\d.]+/g, '$1')
  return createHash('sha256').update(still).digest('base64url').slice(0, 16)
}

import { bar, lifeColour, remaining } from '../terminal/bar.js'
import type { Style } from '../terminal/style.js'
import { span, timeOfDay } from '../terminal/time.js'

/** The size of the output (infinite if it is not a terminal), and whether it has colours. */
export interface TextView {
  readonly columns: number
  readonly rows: number
  readonly style: Style
}

/** A bar of a validity period and its remaining time: `██████░░ 3 h 12 min`. Times in the form of the API; empty without one. */
export function life(
  issuedAt: string | null,
  expiresAt: string | null,
  now: string,
  width: number,
): { readonly text: string; readonly left: number } {
  if (expiresAt === null) return { text: '', left: 0 }
  const [at, notAfter] = [Date.parse(now), Date.parse(expiresAt)]
  const left = remaining({ receivedAt: issuedAt === null ? at : Date.parse(issuedAt), notAfter }, at)
  const { full, empty } = bar(left, width)
  return { text: `${full}${empty} ${notAfter <= at ? 'over' : span(notAfter - at)}`, left }
}

export function lifePaint(
  lives: readonly { readonly left: number }[],
  style: Style,
): (text: string, row: number) => string {
  return (text, row) => lifeColour(lives[row]?.left ?? 0, style)(text)
}

/** `4 min`: the time until the answer. */
export function ago(time: string | null, now: string): string {
  return time === null ? 'never' : span(Date.parse(now) - Date.parse(time))
}

/** The time of day, with the date if it is not today. */
export function when(time: string, now: string): string {
  const clock = timeOfDay(Date.parse(time))
  return time.slice(0, 10) === now.slice(0, 10) ? clock : `${time.slice(5, 10)} ${clock}`
}

/** Selectors in one line: `unix:uid=1000 docker:label:app=web`; digests are truncated. */
export function selectorLine(selectors: Readonly<Record<string, string>>): string {
  return Object.entries(selectors)
    .map(([key, value]) => `${key}=${/^(sha256:)?[0-9a-f]{64}$/.test(value) ? `${value.slice(0, 19)}…` : value}`)
    .join(' ')
}

/** The place where it runs, in one word. */
export function placeOf(row: {
  readonly pod: string | null
  readonly container: string | null
  readonly unit: string | null
}): string {
  return row.pod ?? row.container?.slice(0, 12) ?? row.unit ?? ''
}

const UUID = /\b([0-9a-f]{8})(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g
/** A trust domain is a UUID, which is half of a narrow line. */
const NARROW = 140

/** Truncates UUIDs in a text for short lines. */
export function shortened(text: string, { columns }: Pick<TextView, 'columns'>): string {
  return columns < NARROW ? text.replace(UUID, '$1…') : text
}

import { printable } from '../../observability/printable.js'
import { clip, type TextPart } from './parts.js'

export interface Column {
  readonly title?: string
  /** Styles a cell of the row with this number after it was escaped and padded. */
  readonly paint?: (text: string, row: number) => string
}

const GAP = '  '

/**
 * Rows as aligned text, each line indented by `indent` spaces and ended by a line feed. Cells are raw: control
 * characters are escaped here. A header is shown if a column has a title. The last column is not padded. Lines are
 * truncated to `width` columns.
 */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  indent = 2,
  width = Number.POSITIVE_INFINITY,
): string {
  const titles = columns.map(({ title = '' }) => title)
  const titled = titles.some((title) => title !== '')
  const cells = rows.map((row) => columns.map((_, i) => printable(row[i] ?? '')))
  const widths = columns.map((_, i) => Math.max(widthOf(titles[i] ?? ''), ...cells.map((row) => widthOf(row[i] ?? ''))))
  const line = (row: readonly string[], paint: (text: string, column: number) => string) => {
    const last = row.findLastIndex((cell) => cell !== '')
    const parts = row.slice(0, last + 1).flatMap((cell, i): TextPart[] => {
      const padded = i === last ? cell : cell + ' '.repeat((widths[i] ?? 0) - widthOf(cell))
      const painted: TextPart = [padded, (text) => paint(text, i)]
      return i === 0 ? [painted] : [[GAP], painted]
    })
    return `${clip([[' '.repeat(indent)], ...parts], width)}\n`
  }
  const header = titled ? line(titles, (text) => text) : ''
  return header + cells.map((row, n) => line(row, (text, i) => columns[i]?.paint?.(text, n) ?? text)).join('')
}

/** The width in code points; terminals show each in one column for all texts of the agent. */
function widthOf(text: string): number {
  return [...text].length
}

/** A part of a line and its style. */
export type TextPart = readonly [text: string, paint?: (text: string) => string]

/** Parts as one line of at most `width` columns; a longer one is truncated with an ellipsis. */
export function clip(parts: readonly TextPart[], width: number): string {
  let room = width
  let line = ''
  for (const [text, paint = (plain: string) => plain] of parts) {
    const letters = [...text]
    if (letters.length <= room) {
      line += paint(text)
      room -= letters.length
      continue
    }
    return room > 0 ? `${line}${paint(`${letters.slice(0, room - 1).join('')}…`)}` : line
  }
  return line
}

/** Words in lines of at most `width` columns, with `gap` between them; a word that is longer has a line of its own. */
export function wrap(words: readonly string[], width: number, gap = '  '): string[] {
  const lines: string[] = []
  for (const word of words) {
    const last = lines.at(-1)
    const longer = `${last}${gap}${word}`
    if (last !== undefined && [...longer].length <= width) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

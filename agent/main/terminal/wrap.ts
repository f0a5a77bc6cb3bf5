/**
 * Words in lines of at most `width` columns; the first line begins with `first`, the others with as many spaces. A word that
 * is longer has a line of its own. Ends with a line feed. The text is printable already.
 */
export function wrap(text: string, first: string, width: number): string {
  const indent = ' '.repeat(first.length)
  const lines: string[] = []
  let line = first
  let empty = true
  for (const word of text.split(' ').filter(Boolean)) {
    if (!empty && line.length + 1 + word.length > width) {
      lines.push(line)
      line = indent
      empty = true
    }
    line += empty ? word : ` ${word}`
    empty = false
  }
  return [...lines, line.trimEnd()].map((one) => `${one}\n`).join('')
}

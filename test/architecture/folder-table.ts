/** Folders (or single files) and the paths that each may import. */
export type Folders = Readonly<Record<string, readonly string[]>>

const HEADER = '| folder | what it does | may import |'

/**
 * Reads the table of folders from docs/architecture.md. Folders and what they may import are paths in backticks, or the
 * word `nothing`. Throws where the table is gone or a row cannot be read, so that no rule is lost unseen.
 */
export function readFolders(page: string): Folders {
  const lines = page.split('\n')
  const start = lines.indexOf(HEADER)
  if (start === -1) throw new TypeError(`docs/architecture.md has no table with the header ${HEADER}`)
  const folders: Record<string, readonly string[]> = {}
  for (const line of lines.slice(start + 2)) {
    if (!line.startsWith('|')) break
    const cells = line.slice(1, -1).split('|')
    const [folder, ...others] = pathsIn(cells[0])
    const unreadable = cells.length !== 3 || folder === undefined || others.length > 0 || folder in folders
    if (unreadable) throw new TypeError(`docs/architecture.md: this row of the table of folders is no rule: ${line}`)
    const may = pathsIn(cells[2])
    const rest = (cells[2] ?? '').replace(/`[^`]*`|\s|,/g, '')
    if (rest !== (may.length === 0 ? 'nothing' : '')) {
      throw new TypeError(`docs/architecture.md: write \`paths\` or nothing into the third column of ${line}`)
    }
    folders[folder] = may
  }
  return folders
}

function pathsIn(cell: string | undefined): readonly string[] {
  return [...(cell ?? '').matchAll(/`([^`]+)`/g)].map(([, path = '']) => path)
}

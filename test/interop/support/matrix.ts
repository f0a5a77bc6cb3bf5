import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { CACHE } from './programs.js'

const PAGE = join('docs', 'interop.md')

/**
 * A test whose outcome stands in a table of docs/interop.md, in the row of the client and the column of that name: it
 * fails when something else is observed than what the page says. With ICP_UPDATE_DOCS=1 the page follows.
 */
export function cell(client: string, column: string, fact: string, observe: () => Promise<string>): void {
  it(fact, async () => {
    const observed = await observe()
    if (process.env['ICP_UPDATE_DOCS']) update(client, column, observed)
    expect(observed, `${PAGE}, row "${client}", column "${column}"`).toBe(documented(client, column))
  })
}

/** What the page says. */
function documented(client: string, column: string): string {
  const page = readFileSync(PAGE, 'utf8')
  const { line, place } = find(page, client, column)
  return cells(page.split('\n')[line])[place] ?? ''
}

function cells(line: string | undefined): string[] {
  const inner = /^\|(.*)\|$/.exec(line ?? '')?.[1]
  return inner === undefined ? [] : inner.split('|').map((text) => text.trim())
}

/** Where a cell stands. A table begins with its header and ends with the first line that is no row. */
function find(page: string, client: string, column: string): { readonly line: number; readonly place: number } {
  let place = -1
  let inTable = false
  for (const [line, text] of page.split('\n').entries()) {
    const row = cells(text)
    if (row.length > 0 && !inTable) place = row.indexOf(column)
    if (row.length > 0 && inTable && place >= 0 && row[0] === client) return { line, place }
    inTable = row.length > 0
  }
  throw new Error(`${PAGE} has no row "${client}" in a table with a column "${column}"`)
}

function update(client: string, column: string, observed: string): void {
  alone(() => {
    const lines = readFileSync(PAGE, 'utf8').split('\n')
    const { line, place } = find(lines.join('\n'), client, column)
    lines[line] = `| ${cells(lines[line]).with(place, observed).join(' | ')} |`
    writeFileSync(PAGE, lines.join('\n'))
  })
}

/** Test files run side by side: one of them at a time changes the page. */
function alone(change: () => void): void {
  mkdirSync(CACHE, { recursive: true })
  const lock = join(CACHE, 'page.lock')
  for (let tries = 0; ; tries++) {
    try {
      mkdirSync(lock)
      break
    } catch (error) {
      if (tries > 100_000) throw error
    }
  }
  try {
    change()
  } finally {
    rmdirSync(lock)
  }
}

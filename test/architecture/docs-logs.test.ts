import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { LINES } from '../../agent/observability/lines/index.js'
import type { LineSpec, LineTable } from '../../agent/observability/lines/spec.js'
import { sourcesIn } from './files.js'
import { parseSource } from './source.js'

const AREAS: Readonly<Record<string, LineTable>> = LINES
const all = Object.values(AREAS).flatMap((lines) => Object.entries(lines))

function tableOf(lines: readonly (readonly [string, LineSpec])[]): string {
  const rows = lines.map(([text, spec]) => {
    const fields = Object.keys(spec.fields)
      .map((name) => `\`${name.replace('?', '')}\`${name.endsWith('?') ? '?' : ''}`)
      .join(', ')
    const means = 'ends' in spec ? `The end of \`${spec.ends}\`.` : spec.means
    return `| \`${text}\` | ${spec.level} | ${fields} | ${means} | ${'todo' in spec ? spec.todo : ''} |`
  })
  return ['| line | level | fields | what it means | what to do |', '|---|---|---|---|---|', ...rows].join('\n')
}

function pageOf(): string {
  const rest = (lines: LineTable) => Object.entries(lines).filter(([, { lookFor }]) => !lookFor)
  return [
    '## Lines to look for',
    tableOf(all.filter(([, { lookFor }]) => lookFor)),
    ...Object.entries(AREAS).flatMap(([heading, lines]) => [`## ${heading}`, tableOf(rest(lines))]),
  ].join('\n\n')
}

test('the tables of docs/logs.md are those of the code', () => {
  const page = readFileSync('docs/logs.md', 'utf8')
  const made = page.replace(
    /(<!-- tables: .*?-->\n)[\s\S]*?(<!-- end of tables -->)/,
    (_, begin: string, end: string) => `${begin}\n${pageOf()}\n\n${end}`,
  )
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync('docs/logs.md', made)
  else expect(page, 'run npm run docs').toBe(made)
  expect(made).toContain(pageOf())
})

test('no line is in two tables', () => {
  const texts = all.map(([text]) => text)
  expect(texts.filter((text, at) => texts.indexOf(text) !== at)).toEqual([])
})

test('what a line is the end of is a line that is written when that begins', () => {
  const begins = new Map(all.map(([text, spec]) => [text, spec.level]))
  for (const [text, spec] of all) if ('ends' in spec) expect(begins.get(spec.ends), text).toMatch(/^(warning|error)/)
})

test('every line of the tables is written somewhere', () => {
  const code = sourcesIn('agent', 'attestors')
    .filter(({ path }) => !path.startsWith('agent/observability/lines/'))
    .map(({ path }) => readFileSync(path, 'utf8'))
    .join('\n')
  expect(all.map(([text]) => text).filter((text) => !code.includes(`'${text}'`))).toEqual([])
})

test('the agent does not load the tables: it needs their types alone', () => {
  const loads = sourcesIn('agent', 'attestors', 'dev')
    .filter(({ path }) => !path.startsWith('agent/observability/lines/'))
    .flatMap(({ path }) => parseSource(path, readFileSync(path, 'utf8')).imports.map((found) => ({ path, ...found })))
    .filter(({ specifier, kind }) => specifier.includes('/lines/') && kind !== 'type')
  expect(loads).toEqual([])
})

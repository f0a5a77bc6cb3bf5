import { readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERROR_CODES } from '../../agent/errors.js'
import { ENDPOINTS } from '../../agent/icp/endpoints.js'
import { METRICS, type MetricSpec } from '../../agent/observability/metrics.js'
import { sourcesIn } from './files.js'

/** Rows of all tables of a page, as cells. */
function rows(path: string): string[][] {
  return readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    )
}
const unquoted = (cell: string | undefined) => cell?.replaceAll('`', '') ?? ''

test('docs/errors.md has every error code in order, its meaning, and what to do', () => {
  const documented = rows('docs/errors.md')
  expect(documented.map(([code, meaning]) => [unquoted(code), meaning])).toEqual(Object.entries(ERROR_CODES))
  for (const [code, , advice = ''] of documented) expect(advice.length, code).toBeGreaterThan(20)
})

test('every error code is produced somewhere', () => {
  const code = sourcesIn('agent', 'attestors', 'dev')
    .filter(({ path }) => path !== 'agent/errors.ts')
    .map(({ path }) => readFileSync(path, 'utf8'))
    .join('\n')
  expect(Object.keys(ERROR_CODES).filter((name) => !code.includes(`'${name}'`))).toEqual([])
})

test('the table of docs/metrics.md is the one of the code', () => {
  const table = [
    '| metric | kind | labels | meaning |',
    '|---|---|---|---|',
    ...Object.entries(METRICS).map(([name, { kind, labels, help }]: [string, MetricSpec]) => {
      const shown = labels.map((label) => `\`${label}\``).join(', ')
      return `| \`${name}\` | ${kind} | ${shown} | ${help} |`
    }),
  ].join('\n')
  const page = readFileSync('docs/metrics.md', 'utf8')
  const made = page.replace(/(<!-- table: .*?-->\n)[\s\S]*?(<!-- end of table -->)/, `$1\n${table}\n\n$2`)
  if (process.env['ICP_UPDATE_DOCS']) writeFileSync('docs/metrics.md', made)
  else expect(page, 'run npm run docs').toBe(made)
})

test('every label of a metric is explained in docs/metrics.md', () => {
  const explained = rows('docs/metrics.md').map(([label]) => unquoted(label).split(' ')[0])
  const labels = new Set(Object.values(METRICS).flatMap((spec: MetricSpec) => [...spec.labels]))
  // Explained by their names.
  for (const label of ['version', 'spiffe_id']) labels.delete(label)
  expect([...labels].filter((label) => !explained.includes(label))).toEqual([])
})

test('docs/metrics.md names every endpoint of the ICP server', () => {
  const explained = rows('docs/metrics.md').find(([label]) => label === '`endpoint`')?.[1] ?? ''
  expect(Object.keys(ENDPOINTS).filter((endpoint) => !explained.includes(`\`${endpoint}\``))).toEqual([])
})

test('every kind that is counted is explained in docs/metrics.md', () => {
  const code = sourcesIn('agent', 'attestors')
    .map(({ path }) => readFileSync(path, 'utf8'))
    .join('\n')
  const counted = [...code.matchAll(/metrics\.(?:count|observe)\([^)]*?\bkind:([^,}]*)/g)].flatMap(([, values = '']) =>
    [...values.matchAll(/'(\w+)'/g)].map(([, value = '']) => value),
  )
  expect(new Set(counted).size).toBe(2)
  const explained = rows('docs/metrics.md').find(([label]) => label === '`kind`')?.[1] ?? ''
  expect(counted.filter((kind) => !explained.includes(`\`${kind}\``))).toEqual([])
})

test('what docs/metrics.md alerts on is a metric', () => {
  const alerts = readFileSync('docs/metrics.md', 'utf8').split('## What to alert on')[1] ?? ''
  const named = [...alerts.matchAll(/icp_agent_\w+/g)].map(([name]) => name)
  expect(named.length).toBeGreaterThan(0)
  for (const name of named) expect(Object.keys(METRICS)).toContain(name)
})

test('docs/dependencies.md gives every dependency its reason, and no other', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  const page = readFileSync('docs/dependencies.md', 'utf8')
  expect(rows('docs/dependencies.md').map(([name]) => unquoted(name))).toEqual([
    ...Object.keys(dependencies ?? {}),
    ...Object.keys(devDependencies ?? {}),
  ])
  for (const [name, reason = ''] of rows('docs/dependencies.md')) expect(reason.length, name).toBeGreaterThan(10)
  expect(page).toContain('## For building and testing')
})

test('versions of dependencies are exact', () => {
  const { dependencies, devDependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as Record<string, object>
  for (const [name, version] of Object.entries({ ...dependencies, ...devDependencies })) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+(-[\w.]+)?$/)
  }
})

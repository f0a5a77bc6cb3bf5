import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { sourcesIn } from './files.js'

/** Text of lines at info or above, in each of the ways in which the code writes them. */
function eventsOf(code: string): string[] {
  const written = [
    // log.warn('…') and own.warn('…'), log[level](renewal ? '…' : '…')
    /\b(?:\w+\.(?:info|warn|error)|log\[[^\]]+\])\(\s*((?:'[^']*'|[^,'()])*)/g,
    // sayOnce(log, clock, { failing: '…', recovered: '…' })
    /\b(?:failing|recovered):\s*('[^']+')/g,
    // once(key, '…') and over(key, '…')
    /\b(?:once|over)\(\s*(?:[\w.]+|'[^']*'|`[^`]*`),\s*('[^']+')/g,
  ]
  return written.flatMap((form) =>
    [...code.matchAll(form)].flatMap(([, texts = '']) =>
      [...texts.matchAll(/'([^']{5,})'/g)].map(([, text = '']) => text),
    ),
  )
}

const written = new Set(
  sourcesIn('agent', 'attestors')
    .filter(({ path }) => !path.startsWith('dev/icp-server/'))
    .flatMap(({ path }) => eventsOf(readFileSync(path, 'utf8'))),
)

test('the ways in which lines are written are known', () => {
  expect(eventsOf("log.warn('One line', {})")).toEqual(['One line'])
  expect(eventsOf("own.error('One line', { path })")).toEqual(['One line'])
  expect(eventsOf("log[level](\n  'One line',\n)")).toEqual(['One line'])
  expect(eventsOf("log.info(again ? 'One line' : 'Other line', fields)")).toEqual(['One line', 'Other line'])
  expect(eventsOf("once(`key ${name}`, 'One line', {})")).toEqual(['One line'])
  expect(eventsOf("log.debug('One line')")).toEqual([])
  expect(written.size).toBeGreaterThan(70)
})

/** What docs/logs.md says of lines: the rows of both tables. */
const documented = (readFileSync('docs/logs.md', 'utf8').split('## Lines to look for')[1] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| `'))

test('docs/logs.md has every line above debug', () => {
  const lines = documented.join('\n')
  expect([...written].filter((event) => !lines.includes(`\`${event}\``))).toEqual([])
})

test('docs/logs.md has no line twice', () => {
  const named = documented.flatMap((row) =>
    [...(row.split(' | ')[0] ?? '').matchAll(/`([^`]+)`/g)].map(([, text]) => text),
  )
  expect(named.length).toBeGreaterThan(70)
  expect(named.filter((text, at) => named.indexOf(text) !== at)).toEqual([])
})

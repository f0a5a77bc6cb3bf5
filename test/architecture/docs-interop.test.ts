import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { sourcesIn } from './files.js'

/** The rows of all tables of the page, without headers. */
const ROWS = readFileSync('docs/interop.md', 'utf8')
  .split('\n')
  .filter((line) => line.startsWith('|') && !/^\| client |^\|---/.test(line))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  )

test('every cell of docs/interop.md holds what a run observed', () => {
  expect(ROWS.length).toBeGreaterThan(10)
  expect(ROWS.filter((cells) => cells.includes(''))).toEqual([])
})

test('every client of docs/interop.md has its tests', () => {
  const tests = sourcesIn('test/interop').map(({ path }) => readFileSync(path, 'utf8'))
  const namesDialects = tests.join('\n').includes('agent/client, ${DIALECTS[dialect]}')
  expect(namesDialects).toBe(true)
  const clients = new Set(ROWS.map(([client = '']) => client).filter((client) => !client.startsWith('agent/client, ')))
  for (const client of clients)
    expect(
      tests.some((text) => text.includes(`'${client}'`)),
      client,
    ).toBe(true)
})

test('docs/interop.md names the versions that are pinned', () => {
  const versions = ROWS.filter((cells) => cells.length > 3).map(([client, version]) => [client, version])
  const read = (path: string) => readFileSync(`test/interop/clients/${path}`, 'utf8')
  const pins: Record<string, string> = {
    'go-spiffe': read('go/go.mod'),
    'py-spiffe': read('python/requirements.txt'),
    'Rust `spiffe`': read('rust/Cargo.toml'),
    'java-spiffe': read('java/pom.xml'),
    'authsec-sdk': read('authsec-sdk/requirements.txt'),
  }
  for (const [client = '', version = ''] of versions) {
    if (client in pins) expect(pins[client], client).toContain(version)
  }
})

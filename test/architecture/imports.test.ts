import { readFileSync } from 'node:fs'
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import { describe, expect, test } from 'vitest'
import { defects, longFiles, resolve, violations } from './check.js'
import { sourcesIn } from './files.js'
import { readFolders } from './folder-table.js'
import { EXCEPTIONS, FOLDERS, NODE_MODULES, PACKAGES } from './rules.js'
import { parseSource } from './source.js'

const sources = sourcesIn('agent', 'attestors', 'proto', 'dev/icp-server')
const isIn = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`)

test('the agent keeps the rules of its architecture', () => {
  expect(sources.length).toBeGreaterThan(50)
  expect(violations(sources)).toEqual([])
})

test('tests and the demo have no defects either', () => {
  // The rules themselves and their examples name what they forbid.
  expect(
    sourcesIn('test', 'bench', 'dev/demo')
      .filter(({ path }) => !path.startsWith('test/architecture/'))
      .flatMap(defects),
  ).toEqual([])
})

test('every package that the agent may import is a dependency, and every dependency is imported', () => {
  const { dependencies } = JSON.parse(readFileSync('package.json', 'utf8')) as { dependencies: Record<string, string> }
  expect(Object.keys(PACKAGES).sort()).toEqual(Object.keys(dependencies).sort())
  const imported = new Set(sources.flatMap(({ imports }) => imports.map(({ specifier }) => specifier)))
  const unused = Object.keys(dependencies).filter(
    (name) => ![...imported].some((one) => `${one}/`.startsWith(`${name}/`)),
  )
  expect(unused).toEqual([])
})

test('icp-agent/client runs with grpc-js, protobuf and node: alone', () => {
  const all = new Map(sources.map((source) => [source.path, source]))
  const reached = new Set<string>()
  const packages = new Set<string>()
  const reach = (path: string) => {
    if (reached.has(path)) return
    reached.add(path)
    for (const { specifier, kind } of all.get(path)?.imports ?? []) {
      if (kind === 'type') continue
      if (specifier.startsWith('.')) reach(posix.join(posix.dirname(path), specifier).replace(/\.js$/, '.ts'))
      else if (!specifier.startsWith('node:')) packages.add(specifier.replace(/^(@[^/]+\/[^/]+|[^/]+).*/, '$1'))
    }
  }
  reach('agent/client/index.ts')
  expect([...reached].filter((path) => !all.has(path))).toEqual([])
  expect(reached.size).toBeGreaterThan(20)
  expect([...packages].sort()).toEqual(['@bufbuild/protobuf', '@grpc/grpc-js'])
})

test('the table of folders has no circle', () => {
  const reaches = (from: string, trail: readonly string[]): string[] =>
    trail.includes(from)
      ? [[...trail, from].join(' → ')]
      : (FOLDERS[from] ?? []).filter((to) => to in FOLDERS).flatMap((to) => reaches(to, [...trail, from]))
  expect(
    Object.keys(FOLDERS)
      .filter((one) => one !== 'agent/main')
      .flatMap((one) => reaches(one, [])),
  ).toEqual([])
})

test('every row of docs/architecture.md names a folder with sources, and nothing that no import needs', () => {
  const used = (folder: string, may: string) =>
    sources.some(
      ({ path, imports }) =>
        isIn(path, folder) &&
        imports.some(({ specifier }) => specifier.startsWith('.') && isIn(resolve(path, specifier), may)),
    )
  for (const [folder, allowed] of Object.entries(FOLDERS)) {
    expect(
      sources.some(({ path }) => isIn(path, folder)),
      folder,
    ).toBe(true)
    expect(
      allowed.filter((may) => !used(folder, may)),
      folder,
    ).toEqual([])
  }
})

test('the map of docs/architecture.md has the arrows of its table, but for folders that nearly all import', () => {
  const map = /```mermaid\nflowchart[\s\S]*?```/.exec(readFileSync('docs/architecture.md', 'utf8'))?.[0] ?? ''
  const paths = new Map([...map.matchAll(/^ *(\w+)\["(\S+)"\]$/gm)].map(([, id = '', path = '']) => [id, path]))
  const arrows = [...map.matchAll(/^ *(\w+) --> (\w+)$/gm)].map(
    ([, from = '', to = '']) => `${paths.get(from)} → ${paths.get(to)}`,
  )
  const BELOW_ALL = ['agent/identity', 'agent/crypto', 'agent/observability', 'agent/ports', 'proto']
  const folderOf = (path: string) => Object.keys(FOLDERS).find((folder) => isIn(path, folder)) ?? path
  const rules = Object.entries(FOLDERS)
    .filter(([folder]) => folder !== 'agent/main')
    .flatMap(([folder, may]) =>
      may
        .map(folderOf)
        .filter((to) => !BELOW_ALL.includes(to))
        .map((to) => `${folder} → ${to}`),
    )
  expect(arrows.toSorted()).toEqual([...new Set(rules)].toSorted())
})

test('the table of folders is read whole or not at all', () => {
  const table = (...rows: readonly string[]) =>
    ['', '| folder | what it does | may import |', '|---|---|---|', ...rows, '', '| `x` | y | `z` |'].join('\n')
  expect(readFolders(table('| `a` | does `things` | `b`, `c/d.ts` |', '| `b` | rests | nothing |'))).toEqual({
    a: ['b', 'c/d.ts'],
    b: [],
  })
  for (const row of ['| a | b | `c` |', '| `a` | b | c |', '| `a` | b |', '| `a`, `b` | c | `d` |', '| `a` | b | |']) {
    expect(() => readFolders(table(row)), row).toThrow(TypeError)
  }
  expect(() => readFolders(table('| `a` | b | `c` |', '| `a` | b | `d` |'))).toThrow(TypeError)
  expect(() => readFolders('# no table')).toThrow(TypeError)
})

test('files that are too long are shown, not refused', () => {
  const long = longFiles(sources)
  for (const line of long) process.stderr.write(`\nwarning: ${line}\n`)
  const lines = (count: number) => [parseSource('agent/main/a.ts', '\n'.repeat(count))]
  expect(longFiles(lines(451))).toEqual(['agent/main/a.ts has 451 lines, more than 450'])
  expect(longFiles(lines(450))).toEqual([])
  expect(violations(lines(451))).toEqual([])
})

test('every exception names a file that is there and says why', () => {
  for (const { file, why } of EXCEPTIONS) {
    expect(sources.map(({ path }) => path)).toContain(file)
    expect(why.length).toBeGreaterThan(20)
  }
})

describe('the checker finds', () => {
  const check = (path: string, text: string) => violations([parseSource(path, text)])
  test.each<[string, string, string]>([
    ['an import against the arrows', 'agent/identity/a.ts', "import { x } from '../svids/b.js'"],
    ['a type imported against the arrows', 'agent/svids/a.ts', "import type { X } from '../workload-api/b.js'"],
    ['an import over several lines', 'agent/svids/a.ts', "import {\n  x,\n  y,\n} from '../agent-svid/b.js'"],
    ['a re-export against the arrows', 'agent/svids/a.ts', "export { x } from '../agent-svid/b.js'"],
    ['a dynamic import against the arrows', 'agent/svids/a.ts', "const x = await import('../workload-api/b.js')"],
    ['an import for its effects', 'agent/ports/a.ts', "import '../svids/b.js'"],
    [
      'another file of a folder of which one file is allowed',
      'attestors/a.ts',
      "import { x } from '../attestation/attest.js'",
    ],
    ['an import of the root of the graph', 'agent/svids/a.ts', "import { x } from '../main/compose.js'"],
    ['an import of a test', 'agent/svids/a.ts', "import { x } from '../fakes/clock.js'"],
    ['an import without .js', 'agent/svids/a.ts', "import { x } from './b'"],
    ['the embedded server loaded at once', 'agent/main/a.ts', "import { x } from '../../dev/icp-server/server.js'"],
    ['a package in the wrong folder', 'agent/svids/a.ts', "import koffi from 'koffi'"],
    ['a part of a package in the wrong folder', 'agent/svids/a.ts', "import { x } from '@bufbuild/protobuf/wkt'"],
    ['a package through require', 'agent/svids/a.ts', "const koffi = require('koffi')"],
    ['a package of no list', 'agent/main/a.ts', "import x from 'left-pad'"],
    ['the disk outside its door', 'agent/svids/a.ts', "import { readFileSync } from 'node:fs'"],
    ['the disk by a side door', 'agent/svids/a.ts', "process.getBuiltinModule('node:fs')"],
    ['the network', 'agent/svids/a.ts', 'const answer = await fetch(url)'],
    ['the wall clock', 'agent/svids/a.ts', 'const now = Date.now()'],
    ['the wall clock by another name', 'agent/svids/a.ts', 'const now = new Date()'],
    ['a timer', 'agent/svids/a.ts', 'setTimeout(() => undefined, 5)'],
    ['a hidden timer', 'agent/svids/a.ts', 'AbortSignal.timeout(5)'],
    ['chance', 'agent/platform/a.ts', 'Math.random()'],
    ['the environment', 'agent/config/a.ts', "process.env['HOME']"],
    ['an exit', 'agent/main/a.ts', 'process.exit(1)'],
    ['a clock inside a template', 'agent/store/a.ts', 'const text = `${Date.now()}`'],
    ['a clock after a template and a regular expression', 'agent/store/a.ts', "`'${a}`; /['\"`]/.test(b); Date.now()"],
    ['a cast through unknown', 'agent/store/a.ts', 'const a = b as unknown as C'],
    ['any', 'agent/store/a.ts', 'const a: any = 1'],
    ['an empty catch', 'agent/store/a.ts', 'try { a() } catch {}'],
    ['a silenced compiler', 'agent/store/a.ts', '// @ts-ignore\na()'],
    ['an unfinished place', 'agent/store/a.ts', '// TODO: later'],
    ['a default export', 'agent/store/a.ts', 'export default 1'],
    ['a barrel', 'agent/store/index.ts', "export * from './a.js'"],
    ['a file that is not kebab-case', 'agent/store/myFile.ts', ''],
    ['a folder that nobody knows', 'agent/utils/a.ts', ''],
  ])('%s', (_, path, text) => {
    expect(check(path, text)).toHaveLength(1)
  })

  test.each<[string, string, string]>([
    ['a comment that names a clock', 'agent/svids/a.ts', '// Date.now() would jump\n/* import x from "koffi" */'],
    ['a text that names one', 'agent/svids/a.ts', "const a = 'Date.now()' + `Math.random() ${b}`"],
    ['an address in a text', 'agent/svids/a.ts', "const a = 'https://x'; const b = 1"],
    ['a date made of a number', 'agent/svids/a.ts', 'new Date(5)'],
    ['a catch that says why it is empty', 'agent/svids/a.ts', 'try { a() } catch {\n  // gone already\n}'],
    ['the embedded server loaded when asked for', 'agent/main/a.ts', "await import('../../dev/icp-server/server.js')"],
    ['errors from anywhere', 'agent/ports/a.ts', "import { AgentError } from '../errors.js'"],
    ['a method of the name of a global', 'agent/svids/a.ts', 'const a = { fetch(b: string) {} }\nc.fetch(d)'],
    ['a division', 'agent/svids/a.ts', "const a = b / c / d; const e = 'Date.now()'"],
  ])('nothing in %s', (_, path, text) => {
    expect(check(path, text)).toEqual([])
  })

  test('a circle, but none of types', () => {
    const a = "import { b } from './b.js'"
    const b = (kind: string) => `import ${kind}{ a } from './a.js'`
    const pair = (kind: string) => [parseSource('agent/svids/a.ts', a), parseSource('agent/svids/b.ts', b(kind))]
    expect(violations(pair(''))).toEqual(['circle: agent/svids/a.ts → agent/svids/b.ts → agent/svids/a.ts'])
    expect(violations(pair('type '))).toEqual([])
  })
})

test('every restricted module of Node is one', () => {
  expect(Object.keys(NODE_MODULES).filter((name) => !isBuiltin(name))).toEqual([])
})

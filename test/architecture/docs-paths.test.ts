import { readFileSync, statSync } from 'node:fs'
import { posix } from 'node:path'
import { expect, test } from 'vitest'
import { repositoryFiles } from './files.js'
import { parseSource } from './source.js'

const FILES = repositoryFiles()
const TOP_FOLDERS = new Set(FILES.filter((path) => path.includes('/')).map((path) => path.slice(0, path.indexOf('/'))))
/** Files, and every folder that holds one, by their last part. */
const KNOWN = new Map<string, Set<string>>()
for (const path of FILES.flatMap((file) => [file, ...foldersAbove(file)])) {
  const name = posix.basename(path)
  KNOWN.set(name, (KNOWN.get(name) ?? new Set()).add(path))
}

const NAMED = /(?<![\w./:@$~<>{}*%-])(?:\.{1,2}\/)*(?:[\w.*-]+\/)*[\w*][\w.*-]*\w/g
/** Endings that only files of this repository have in its texts; others (`config.yaml`) are often an operator's. */
const OURS = /\.(?:ts|mjs|proto|md)$/
/** What stands for a name: `bench/NAME.ts`. */
const PLACEHOLDER = /(?:^|\/)NAME\./g
/** It tells of earlier versions, whose files may be gone. */
const HISTORY = 'CHANGELOG.md'

/** Paths in a text that name nothing: in full, from where the text stands, or the end of one (`svids/view.ts`). */
function missingIn(path: string, text: string): string[] {
  return [...text.matchAll(NAMED)].flatMap(([found]) => {
    const name = found.replace(PLACEHOLDER, (part) => part.replace('NAME', '*'))
    const [first = ''] = name.split('/')
    const meant = OURS.test(name) || (TOP_FOLDERS.has(first) && name.includes('/'))
    return !meant || exists(name) || exists(posix.join(posix.dirname(path), name)) ? [] : [`${path} names ${found}`]
  })
}

function exists(name: string): boolean {
  const last = posix.basename(name)
  const paths = last.includes('*') ? [...KNOWN.values()].flatMap((some) => [...some]) : [...(KNOWN.get(last) ?? [])]
  const pattern = name.split('*').map((part) => part.replaceAll('.', '\\.'))
  const matches = new RegExp(`(?:^|/)${pattern.join('[^/]*')}$`)
  return paths.some((path) => matches.test(path))
}

function foldersAbove(path: string): string[] {
  const above = posix.dirname(path)
  return above === '.' ? [] : [above, ...foldersAbove(above)]
}

/** What people read of a file: a page, or the comments. */
function prose(path: string): string {
  if (!/\.(?:md|ts|mjs|ya?ml|sh|toml|service|socket|timer)$|file$/i.test(path)) return ''
  const text = readFileSync(path, 'utf8')
  if (path.endsWith('.md')) return text
  if (/\.(?:ts|mjs)$/.test(path)) return parseSource(path, text).comments
  return [...text.matchAll(/(?:^|\s)#.*$/gm)].join('\n')
}

const READ = FILES.filter((path) => path !== HISTORY && !path.startsWith('proto/gen/') && statSync(path).size < 2 ** 20)

test('every path that a page or a comment names exists', () => {
  expect(READ.flatMap((path) => missingIn(path, prose(path)))).toEqual([])
})

test('every page that a message of the agent names exists', () => {
  const sources = READ.filter((path) => /^(?:agent|attestors)\/.*\.ts$/.test(path))
  const named = sources.flatMap((path) => [...readFileSync(path, 'utf8').matchAll(/\bdocs\/[\w./-]+\.md/g)])
  expect(named.length).toBeGreaterThan(0)
  expect(named.flatMap(([page]) => (FILES.includes(page) ? [] : [page]))).toEqual([])
})

test('every link between pages leads to a page and a heading', () => {
  const pages = READ.filter((path) => path.endsWith('.md'))
  const wrong = pages.flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g)].flatMap(
      ([link, to = '', heading]) => {
        const target = to === '' ? path : posix.join(posix.dirname(path), to)
        if (!exists(target)) return [`${path}: ${link}`]
        return heading === undefined || headingsOf(target).includes(heading) ? [] : [`${path}: ${link}`]
      },
    ),
  )
  expect(wrong).toEqual([])
})

test('every decision has a number of its own, and is listed', () => {
  const list = readFileSync('docs/decisions/README.md', 'utf8')
  const numbers = FILES.filter((path) => /^docs\/decisions\/\d/.test(path)).map((path) => {
    const number = posix.basename(path).slice(0, 4)
    const [, title] = new RegExp(`^# ${number}: (.+)`).exec(readFileSync(path, 'utf8')) ?? []
    expect(list).toContain(`| [${number}](${posix.basename(path)}) | ${title} |`)
    return number
  })
  expect(numbers.length).toBeGreaterThan(8)
  expect(numbers.filter((number, at) => numbers.indexOf(number) !== at)).toEqual([])
})

test.each([
  ['a page', 'docs/a.md', 'see [it](gone.md)'],
  ['a folder', 'docs/a.md', 'as `agent/gone` does'],
  ['the end of a path', 'agent/svids/a.ts', 'see svids/gone.ts'],
  ['a name alone', 'agent/svids/a.ts', '`gone.ts` reads it'],
  ['a path upwards', 'docs/decisions/a.md', '../gone.md'],
  ['a pattern', 'docs/a.md', '`agent/icp/gone*.ts`'],
])('the check finds %s that is gone', (_, path, text) => {
  expect(missingIn(path, text)).toHaveLength(1)
})

test.each([
  ['from the root', 'agent/svids/a.ts', 'docs/logs.md'],
  ['from the page', 'docs/a.md', '(attestors/unix.md#selectors)'],
  ['by its end', 'docs/a.md', '`svids/view.ts`'],
  ['by a pattern', 'docs/a.md', '`agent/icp/wire*.ts`'],
  ['of an operator', 'docs/a.md', '/etc/systemd/system, config.yaml, spiffe://x/agent/y'],
])('the check finds nothing in a path %s', (_, path, text) => {
  expect(missingIn(path, text)).toEqual([])
})

/** As GitHub names the anchors of headings. */
function headingsOf(page: string): string[] {
  const headings = readFileSync(page, 'utf8').matchAll(/^#+ (.+)$/gm)
  return [...headings].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .replaceAll(' ', '-'),
  )
}

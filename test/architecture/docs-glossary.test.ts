import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { repositoryFiles, sourcesIn } from './files.js'

/** The rows of the tables: word, meaning, names in the code. */
const ROWS = readFileSync('docs/glossary.md', 'utf8')
  .split('\n')
  .filter((line) => /^\| (?!word \|)/.test(line))
  .map((line) => line.slice(2, -1).split(' | '))

test('every word of docs/glossary.md is there once, with a meaning', () => {
  const words = ROWS.map(([word = '']) => word)
  expect(words.length).toBeGreaterThan(40)
  expect(new Set(words).size).toBe(words.length)
  expect(ROWS.filter((cells) => cells.length !== 3 || (cells[1] ?? '').length < 15)).toEqual([])
})

test('every name that docs/glossary.md gives for the code is one', () => {
  const code = sourcesIn('agent', 'attestors').map(({ path }) => readFileSync(path, 'utf8'))
  const all = code.join('\n')
  const names = ROWS.flatMap(([, , cell = '']) => [...cell.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name))
  expect(names.length).toBeGreaterThan(40)
  expect(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(all))).toEqual([])
})

/** Of the kernel, and of a package that was not chosen. */
const NOT_OURS = ['VmSize', 'parseDocument']

test('every type and function that SECURITY.md, the architecture and the decisions name is in the code', () => {
  const pages = repositoryFiles().filter((path) =>
    /^(?:SECURITY|docs\/architecture|docs\/decisions\/.*)\.md$/.test(path),
  )
  expect(pages.length).toBeGreaterThan(20)
  const sources = repositoryFiles().filter((path) => path.endsWith('.ts') && !path.startsWith('test/architecture/'))
  const words = new Set(sources.flatMap((path) => readFileSync(path, 'utf8').match(/\w+/g) ?? []))
  const names = pages.flatMap((path) =>
    [...readFileSync(path, 'utf8').matchAll(/`([A-Z]?[a-z]+[A-Z]\w*)`/g)].map(([, name = '']) => name),
  )
  expect(names.length).toBeGreaterThan(30)
  expect(names.filter((name) => !words.has(name) && !NOT_OURS.includes(name))).toEqual([])
})

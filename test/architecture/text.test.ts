import { readFileSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { repositoryFiles } from './files.js'

/** Written so that this file does not find itself. */
const word = (...parts: readonly string[]) => parts.join('')

/**
 * The repository speaks of itself alone. What a text must not hold: paths and names of the place where it was written,
 * papers that are not in it, hosts of package registries, keys that were left lying about.
 */
const FORBIDDEN: readonly { readonly pattern: RegExp; readonly what: string }[] = [
  { pattern: new RegExp(word('/wo', 'rk/(?:main|shared|\\.)'), 'i'), what: 'a path of a workplace' },
  { pattern: new RegExp(word('/tmp/', '(?:brief|n26|bash_jobs)\\b')), what: 'a path of a workplace' },
  { pattern: new RegExp(word('/ho', 'me/[a-z]+/')), what: 'a path of somebody’s home' },
  { pattern: new RegExp(word('\\bsha', 'red/(?:contract|design|anchors|hooks)\\b')), what: 'a paper that is not here' },
  {
    pattern: new RegExp(word('\\b(?:ho', 'use|meas', 'ured|icp-server-', 'api)\\.md\\b')),
    what: 'a paper that is not here',
  },
  { pattern: new RegExp(word('\\bcontract/', '[a-z-]+\\.md\\b')), what: 'a paper that is not here' },
  { pattern: new RegExp(word('\\b(?:cla', 'ude|anth', 'ropic|chat', 'gpt|co', 'pilot)\\b'), 'i'), what: 'a tool' },
  {
    pattern: new RegExp(word('\\bregis', 'try\\.npmjs\\b|\\bnpm', 'js\\.(?:org|com)/')),
    what: 'the host of a registry',
  },
  {
    pattern: new RegExp(word('\\bfiles\\.python', 'hosted\\b|\\bproxy\\.gol', 'ang\\b')),
    what: 'the host of a registry',
  },
  {
    pattern: new RegExp(word('\\b(?:arti', 'factory|ne', 'xus-proxy|verda', 'ccio)\\b'), 'i'),
    what: 'the host of a registry',
  },
  { pattern: new RegExp(word('"resol', 'ved": "(?!file:)')), what: 'the host of a registry' },
]

const MAX_TEXT_BYTES = 2 * 1024 * 1024

test('no text of the repository speaks of the place where it was written', () => {
  const found: string[] = []
  for (const path of repositoryFiles()) {
    if (statSync(path).size > MAX_TEXT_BYTES) continue
    const text = readFileSync(path, 'utf8')
    for (const { pattern, what } of FORBIDDEN) {
      const match = pattern.exec(`${path}\n${text}`)
      if (match) found.push(`${path} names ${what}: ${match[0]}`)
    }
  }
  expect(found).toEqual([])
})

test.each([
  [word('see /wo', 'rk/main/agent')],
  [word('as sha', 'red/contract says')],
  [word('https://regis', 'try.npm', 'js.org/x')],
  [word('  "resol', 'ved": "https://somewhere/x.tgz"')],
])('the check finds %#', (text) => {
  expect(FORBIDDEN.some(({ pattern }) => pattern.test(text))).toBe(true)
})

test('no file holds a private key, except what tests make', () => {
  const key = new RegExp(word('-----BEGIN [A-Z ]*PRIV', 'ATE KEY-----\\n[A-Za-z0-9+/=\\n]{60}'))
  expect(
    repositoryFiles().filter((path) => statSync(path).size < MAX_TEXT_BYTES && key.test(readFileSync(path, 'utf8'))),
  ).toEqual([])
})

import { expect, test } from 'vitest'
import { sourcesIn } from './files.js'
import type { Source } from './source.js'

const DECLARED = /^(?:export )?(?:declare )?(?:abstract )?(?:interface|type|class|enum) (\w+)/gm

/** Names of types that more than one file declares, exported or not, with the files. */
function declaredTwice(sources: readonly Pick<Source, 'path' | 'code'>[]): readonly string[] {
  const files = new Map<string, string[]>()
  for (const { path, code } of sources) {
    for (const [, name = ''] of code.matchAll(DECLARED)) files.set(name, [...(files.get(name) ?? []), path])
  }
  return [...files].filter(([, paths]) => paths.length > 1).map(([name, paths]) => `${name}: ${paths.join(', ')}`)
}

test('no type name is declared in two files: one name means one thing', () => {
  const sources = sourcesIn('agent', 'attestors', 'dev').filter(({ code }) => code !== '')
  expect(sources.length).toBeGreaterThan(300)
  expect(declaredTwice(sources)).toEqual([])
})

test('a name that two files declare is found, one that is passed on is not', () => {
  const source = (path: string, code: string) => ({ path, code })
  expect(
    declaredTwice([
      source('a.ts', 'export interface One {}\nabstract class Two {}'),
      source('b.ts', 'type One = string\nconst two = { Two: 1 }'),
      source('c.ts', "export type { Two } from './a.js'\nexport const One = 1"),
    ]),
  ).toEqual(['One: a.ts, b.ts'])
})

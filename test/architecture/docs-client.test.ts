import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import * as library from '../../agent/client/index.js'
import { ERROR_CODES } from '../../agent/errors.js'

const page = readFileSync('docs/client.md', 'utf8')
const named = (name: string) => new RegExp(`\`[^\`\n]*\\b${name}\\b[^\`\n]*\``).test(page)

/** Public methods and getters of a class. */
function members(of: { readonly prototype: object }): string[] {
  return Object.getOwnPropertyNames(of.prototype).filter((name) => name !== 'constructor')
}

test('docs/client.md names all that icp-agent/client exports', () => {
  const exported = Object.keys(library)
  expect(exported.length).toBeGreaterThan(5)
  const unnamed = exported.filter((name) => !named(name) && !page.includes(`import { ${name}`))
  // SPIFFE IDs are told of by what they have.
  expect(unnamed).toEqual(['SpiffeId'])
})

test('docs/client.md names every method of its classes', () => {
  const all = [...members(library.X509Source), ...members(library.WorkloadApiClient)]
  expect(all.length).toBeGreaterThan(12)
  expect(all.filter((name) => !named(name))).toEqual([])
})

test('docs/client.md has every option with its default', () => {
  const declared = ['agent/client/workload-api-client.ts', 'agent/client/x509-source.ts'].flatMap((path) => {
    const text = readFileSync(path, 'utf8')
    const [, body = ''] = /export interface (?:ClientOptions|X509SourceOptions)[^{]*\{([\s\S]*?)\n\}/.exec(text) ?? []
    return [...body.matchAll(/^ {2}readonly (\w+)\?/gm)].map(([, name]) => name)
  })
  expect(declared.length).toBeGreaterThan(5)
  const rows = [...page.matchAll(/^\| `(\w+)` \| [^|]+ \| ([^|]+) \|$/gm)].map(([, name]) => name)
  expect(declared.filter((name) => !rows.includes(name))).toEqual([])
})

test('every error code of docs/client.md is one', () => {
  const codes = [...page.matchAll(/`((?:client|request|svid|spiffe_id)\.[a-z_]+)`/g)].map(([, code = '']) => code)
  expect(codes.length).toBeGreaterThan(8)
  expect(codes.filter((code) => !(code in ERROR_CODES))).toEqual([])
  expect(Object.keys(ERROR_CODES).filter((code) => code.startsWith('client.') && !codes.includes(code))).toEqual([])
})

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { damageCache } from './damage.js'

const HOWS = [0, 0.4, 0.6, 0.7, 0.85, 0.95]

function cacheOf(contents: Readonly<Record<string, string>>) {
  const dataDir = mkdtempSync(join(tmpdir(), 'icp-damage-'))
  const cache = join(dataDir, 'cache')
  mkdirSync(cache)
  for (const [name, content] of Object.entries(contents)) writeFileSync(join(cache, name), content)
  const read = (name: string) => (existsSync(join(cache, name)) ? readFileSync(join(cache, name), 'utf8') : null)
  return {
    dataDir,
    now: () => Object.fromEntries(Object.keys(contents).map((name) => [name, read(name)])),
    [Symbol.dispose]: () => rmSync(dataDir, { recursive: true }),
  }
}

test.each(HOWS)('damage of the kind %d changes a file that has something in it', (how) => {
  const contents = { a: 'first', b: 'second' }
  using cache = cacheOf(contents)
  damageCache(cache.dataDir, [how, 0, 0.6])
  expect(cache.now()).not.toEqual(contents)
})

test.each(HOWS)('damage of the kind %d is possible where an earlier one has left an empty file', (how) => {
  using cache = cacheOf({ a: '' })
  for (const part of [0, 0.5, 0.999]) expect(() => damageCache(cache.dataDir, [how, 0, part])).not.toThrow()
})

test('without a cache there is nothing to damage', () => {
  using cache = cacheOf({})
  damageCache(cache.dataDir, [0, 0, 0])
  rmSync(join(cache.dataDir, 'cache'), { recursive: true })
  damageCache(cache.dataDir, [0, 0, 0])
  expect(cache.now()).toEqual({})
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { covers, platformOf } from '../../../agent/identity/selector.js'

const map = (pairs: Record<string, string>) => new Map(Object.entries(pairs))

describe('covers', () => {
  it('asks for every pair, by exact equality', () => {
    const selectors = map({ 'unix:uid': '1000', 'k8s:ns': 'shop' })
    expect(covers(selectors, map({ 'unix:uid': '1000' }))).toBe(true)
    expect(covers(selectors, map({ 'unix:uid': '1000', 'k8s:ns': 'shop' }))).toBe(true)
    expect(covers(selectors, map({ 'unix:uid': '1000', 'k8s:sa': 'shop' }))).toBe(false)
    expect(covers(selectors, map({ 'unix:uid': '01000' }))).toBe(false)
    expect(covers(selectors, map({ 'unix:uid': '1000 ' }))).toBe(false)
    expect(covers(selectors, map({ 'UNIX:uid': '1000' }))).toBe(false)
  })

  it('lets no selectors match nobody: they would name everybody', () => {
    expect(covers(map({ 'unix:uid': '1000' }), map({}))).toBe(false)
    expect(covers(map({}), map({}))).toBe(false)
  })

  it('is not taken in by names that objects have', () => {
    expect(covers(map({}), map({ constructor: 'x' }))).toBe(false)
    expect(covers(map({ __proto__x: 'a' }), map({ __proto__x: 'a' }))).toBe(true)
  })

  it('never lets an extra selector hurt', () => {
    const selectors = fc.dictionary(fc.string(), fc.string(), { minKeys: 1 }).map(map)
    fc.assert(
      fc.property(selectors, selectors, (wanted, extra) => {
        expect(covers(new Map([...extra, ...wanted]), wanted)).toBe(true)
      }),
    )
  })
})

describe('platformOf', () => {
  it.each([
    ['unix:uid', 'unix'],
    ['docker:label:app', 'docker'],
    ['odd', 'odd'],
    [':x', ''],
  ])('%s is of %s', (key, platform) => {
    expect(platformOf(key)).toBe(platform)
  })
})

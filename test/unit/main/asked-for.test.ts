import { expect, test } from 'vitest'
import { askedFor } from '../../../agent/main/asked-for.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { entryOf } from '../../fakes/identities.js'

const KEY = 'unix:sha256'

function setting() {
  const store = new SvidStore()
  const seen: string[] = []
  const asked = askedFor(store, KEY, () => seen.push('first'))
  store.watch(() => seen.push(`others, asked: ${asked()}`))
  const publish = (...selectors: Record<string, string>[]) => {
    const entries = new Map(selectors.map((one, n) => [`e${n}`, entryOf(`e${n}`, { selectors: one })]))
    store.publish({ entries }, { entries: 'all', bundles: false })
  }
  return { asked, seen, publish }
}

test('a key is asked for once an entry has it, which is told before others see the entry', () => {
  const { asked, seen, publish } = setting()
  publish({ 'unix:uid': '1' })
  expect(asked()).toBe(false)
  publish({ 'unix:uid': '1' }, { 'unix:uid': '2', [KEY]: 'abc' })
  expect(asked()).toBe(true)
  expect(seen).toEqual(['others, asked: false', 'first', 'others, asked: true'])
})

test('it stays asked for when the entry goes, and the first time was once', () => {
  const { asked, seen, publish } = setting()
  publish({ [KEY]: 'abc' })
  publish({ 'unix:uid': '1' })
  publish({ [KEY]: 'abc' })
  expect(asked()).toBe(true)
  expect(seen.filter((one) => one === 'first')).toHaveLength(1)
})

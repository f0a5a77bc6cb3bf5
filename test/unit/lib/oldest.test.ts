import { expect, test } from 'vitest'
import { dropOldest, putLast } from '../../../agent/lib/oldest.js'

test('the oldest go until there are at most so many, and none where there are fewer', () => {
  const set = new Set([1, 2, 3, 4])
  dropOldest(set, 2)
  expect([...set]).toEqual([3, 4])
  dropOldest(set, 2)
  expect([...set]).toEqual([3, 4])
})

test('what is put again is the newest, with its new value', () => {
  const map = new Map<string, number>()
  for (const [value, key] of ['a', 'b', 'a', 'c'].entries()) putLast(map, key, value, 2)
  expect([...map]).toEqual([
    ['a', 2],
    ['c', 3],
  ])
})

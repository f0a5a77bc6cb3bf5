import { expect, test } from 'vitest'
import { type Repeated, Repeats } from '../../../agent/audit/repeats.js'

function watched(max?: number) {
  const closed: [string, number][] = []
  const made: string[] = []
  const repeats = new Repeats<string>((one: Repeated<string>) => closed.push([one.record, one.times]), max)
  const add = (holder: string, place: string, what: string, now = 0, until = 100) =>
    repeats.add({ holder, place, what }, { now, until }, () => {
      made.push(`${holder} ${what}`)
      return `${holder} ${what}`
    })
  return { repeats, closed, made, add }
}

test('what is repeated is recorded once and counted', () => {
  const { repeats, closed, made, add } = watched()
  for (let i = 0; i < 5; i++) add('p', 'web', 'serial 1')
  repeats.closeHolder('p')
  expect(made).toEqual(['p serial 1'])
  expect(closed).toEqual([['p serial 1', 4]])
  expect(repeats.size).toBe(0)
})

test('another serial in the same place closes the one before', () => {
  const { closed, made, add } = watched()
  add('p', 'web', 'serial 1')
  add('p', 'web', 'serial 1')
  add('p', 'web', 'serial 2')
  expect(made).toEqual(['p serial 1', 'p serial 2'])
  expect(closed).toEqual([['p serial 1', 1]])
})

test('two processes, and two entries of one, are told apart', () => {
  const { made, add } = watched()
  add('p', 'web', 'serial 1')
  add('q', 'web', 'serial 1')
  add('p', 'db', 'serial 1')
  expect(made).toHaveLength(3)
})

test('what has passed its time is closed, and is new when it comes again', () => {
  const { repeats, closed, made, add } = watched()
  add('p', 'web', 'serial 1', 0, 100)
  repeats.closeUntil(99)
  expect(closed).toEqual([])
  repeats.closeUntil(100)
  expect(closed).toEqual([['p serial 1', 0]])
  add('p', 'web', 'serial 1', 100, 200)
  expect(made).toHaveLength(2)
})

test('what has passed its time is new when it comes again, also before anybody has closed it', () => {
  const { closed, made, add } = watched()
  add('p', 'web', 'serial 1', 0, 100)
  add('p', 'web', 'serial 1', 100, 200)
  expect(made).toHaveLength(2)
  expect(closed).toEqual([['p serial 1', 0]])
})

test('where there are too many, the oldest holder is closed with its count', () => {
  const { repeats, closed, add } = watched(2)
  add('p', 'web', 'serial 1')
  add('p', 'web', 'serial 1')
  add('q', 'web', 'serial 1')
  add('r', 'web', 'serial 1')
  expect(closed).toEqual([['p serial 1', 1]])
  expect(repeats.size).toBe(2)
})

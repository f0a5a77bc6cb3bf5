import { expect, it } from 'vitest'
import { FairQueue } from '../../../agent/workload-api/fair-queue.js'

/** Time passes only in jobs, and turns of the event loop come when the test says so. */
function setting(mostWaiting = 1_000) {
  let now = 0
  const next: (() => void)[] = []
  const turns = new FairQueue({ monotonic: () => now }, { burst: mostWaiting }, (run) => next.push(run))
  const done: string[] = []
  const take = (subject: string, ms = 1, name = subject) =>
    turns.take(subject, () => {
      now += ms
      done.push(name)
    })
  const turn = () => {
    for (const run of next.splice(0)) run()
  }
  return { turns, done, take, turn, pending: () => next.length }
}

it('does a job at once where there is little to do', () => {
  const { done, take } = setting()
  expect(take('a')).toBe(true)
  expect(done).toEqual(['a'])
})

it('does ten milliseconds of work in a turn, and the rest in the next ones', () => {
  const { done, take, turn, pending } = setting()
  for (let n = 0; n < 25; n++) take('a')
  expect(done).toHaveLength(10)
  turn()
  expect(done).toHaveLength(20)
  turn()
  expect(done).toHaveLength(25)
  turn()
  expect(pending()).toBe(0)
})

it('the one job of another subject waits for one job of the flood, not for all of it', () => {
  const { done, take, turn } = setting()
  for (let n = 0; n < 500; n++) take('flood')
  take('other')
  done.length = 0
  turn()
  expect(done.indexOf('other')).toBeLessThanOrEqual(1)
})

it('subjects take turns, each in its own order', () => {
  const { done, take, turn } = setting()
  take('a', 10, 'first')
  for (const name of ['a1', 'a2', 'a3']) take('a', 1, name)
  for (const name of ['b1', 'b2']) take('b', 1, name)
  turn()
  expect(done).toEqual(['first', 'a1', 'b1', 'a2', 'b2', 'a3'])
})

it('no more jobs of a subject wait than may; another one has room', () => {
  const { turns, take } = setting(3)
  take('a', 10)
  expect([take('a'), take('a'), take('a'), take('a')]).toEqual([true, true, true, false])
  expect(turns.waiting('a')).toBe(3)
  expect(take('b')).toBe(true)
})

it('a job that fails costs nobody else its turn', () => {
  const { turns, done, take, turn } = setting()
  take('a', 10)
  turns.take('a', () => {
    throw new Error('a defect')
  })
  take('b')
  expect(() => turn()).toThrow('a defect')
  turn()
  expect(done).toEqual(['a', 'b'])
})

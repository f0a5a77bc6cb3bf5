import { expect, it } from 'vitest'
import { afterThreads } from '../../../agent/main/hanging-threads.js'
import { FakeClock } from '../../fakes/clock.js'

function setting(threads: number) {
  const clock = new FakeClock()
  const attestors = { threads }
  const told: number[] = []
  const ended = afterThreads(
    () => attestors.threads,
    clock,
    (count) => told.push(count),
  )[Symbol.asyncDispose]()
  return { clock, attestors, told, ended }
}

it('without threads, the end is at once', async () => {
  const { ended, told, clock } = setting(0)
  await ended
  expect([told, clock.pending]).toEqual([[], 0])
})

it('threads that end when told to are waited for', async () => {
  const { ended, told, clock, attestors } = setting(2)
  await clock.advance(900)
  attestors.threads = 0
  await clock.advance(20)
  await ended
  expect(told).toEqual([])
})

it('threads that hang are told of after a second', async () => {
  const { ended, told, clock } = setting(3)
  await clock.advance(1_000)
  await ended
  expect([told, clock.pending]).toEqual([[3], 0])
})

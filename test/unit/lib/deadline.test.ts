import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { unlessAborted } from '../../../agent/lib/abort.js'
import { withDeadline } from '../../../agent/lib/deadline.js'
import { FakeClock } from '../../fakes/clock.js'

const late = () => new AgentError('platform.unavailable', 'late')
const never = (signal: AbortSignal) => unlessAborted(new Promise<never>(() => undefined), signal)

test('work that ends in time leaves neither timer nor listener behind', async () => {
  const clock = new FakeClock()
  const outer = new AbortController()
  await expect(withDeadline(clock, { ms: 1_000, late }, outer.signal, async () => 5)).resolves.toBe(5)
  expect(clock.pending).toBe(0)
  expect(getEventListeners(outer.signal, 'abort')).toEqual([])
})

test('work is aborted at the deadline with its error, before that with the reason of the outer signal', async () => {
  const clock = new FakeClock()
  const outer = new AbortController()
  const overdue = withDeadline(clock, { ms: 1_000, late }, outer.signal, never)
  const ended = expect(overdue).rejects.toMatchObject({ code: 'platform.unavailable', message: 'late' })
  await clock.advance(1_000)
  await ended
  const stopped = withDeadline(clock, { ms: 1_000, late }, outer.signal, never)
  outer.abort(new Error('stopping'))
  await expect(stopped).rejects.toThrow('stopping')
})

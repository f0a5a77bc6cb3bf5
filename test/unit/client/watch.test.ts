import { expect, test } from 'vitest'
import { type Retry, watch } from '../../../agent/client/watch.js'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import { FakeClock, settle } from '../../fakes/clock.js'

/** Each call of the stream yields the values of a script, then throws its error. */
function scripted(script: readonly { values?: readonly string[]; error: ErrorCode | Error }[]) {
  let call = 0
  return async function* () {
    const { values = [], error } = script[Math.min(call++, script.length - 1)] ?? { error: 'internal' }
    yield* values
    throw typeof error === 'string' ? new AgentError(error, error) : error
  }
}

function watched(open: () => AsyncGenerator<string>) {
  const clock = new FakeClock()
  const stop = new AbortController()
  const seen: string[] = []
  const retries: Retry[] = []
  const done = (async () => {
    const values = watch(open, { clock, signal: stop.signal, onRetry: (retry) => retries.push(retry) })
    for await (const value of values) seen.push(value)
    return 'ended'
  })()
  return { clock, stop, seen, retries, done }
}

test('a stream that fails is opened again, a second later for each failure in a row', async () => {
  const { clock, stop, retries, done } = watched(scripted([{ error: 'client.unavailable' }]))
  await clock.advance('10s')
  expect(retries.map(({ delayMs }) => delayMs)).toEqual([1000, 2000, 3000, 4000, 5000])
  await clock.advance('30m')
  expect(Math.max(...retries.map(({ delayMs }) => delayMs))).toBe(30_000)
  stop.abort()
  expect(await done).toBe('ended')
})

test('a message starts the count anew', async () => {
  const { clock, stop, seen, retries, done } = watched(
    scripted([
      { error: 'client.unreachable' },
      { error: 'client.denied' },
      { values: ['a'], error: 'client.unavailable' },
      { values: ['b'], error: 'client.unavailable' },
    ]),
  )
  await clock.advance('4s')
  expect(seen).toEqual(['a', 'b'])
  expect(retries.map(({ attempt }) => attempt)).toEqual([1, 2, 1, 1])
  stop.abort()
  await done
})

test('what can never pass ends the watch', async () => {
  for (const code of ['request.invalid', 'client.unimplemented'] as const) {
    const { retries, done } = watched(scripted([{ values: ['a'], error: code }]))
    await expect(done).rejects.toMatchObject({ code })
    expect(retries).toEqual([])
  }
})

test('a defect is not retried', async () => {
  const { done } = watched(scripted([{ error: new TypeError('defect') }]))
  await expect(done).rejects.toThrow(TypeError)
})

test('stopping during the wait leaves no timer behind', async () => {
  const { clock, stop, done } = watched(scripted([{ error: 'client.unavailable' }]))
  await settle()
  expect(clock.pending).toBe(1)
  stop.abort()
  expect(await done).toBe('ended')
  expect(clock.pending).toBe(0)
})

test('a reader that leaves ends the stream below', async () => {
  let closed = false
  const open = async function* () {
    try {
      yield 'a'
      yield 'b'
    } finally {
      closed = true
    }
  }
  for await (const value of watch(open, { clock: new FakeClock(), signal: new AbortController().signal })) {
    expect(value).toBe('a')
    break
  }
  expect(closed).toBe(true)
})

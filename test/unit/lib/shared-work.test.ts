import { expect, test } from 'vitest'
import { SharedWork } from '../../../agent/lib/shared-work.js'
import { settle } from '../../fakes/clock.js'

/** Work that ends when it is told to. */
function deferred() {
  const signals: AbortSignal[] = []
  const ends: { resolve: (value: string) => void; reject: (reason: unknown) => void }[] = []
  const work = (signal: AbortSignal) =>
    new Promise<string>((resolve, reject) => {
      signals.push(signal)
      ends.push({ resolve, reject })
    })
  return { work, signals, end: (i = 0) => ends[i] ?? { resolve: () => {}, reject: () => {} } }
}
const stay = () => new AbortController().signal

test('whoever asks for the same gets the result of one piece of work', async () => {
  const shared = new SharedWork<string>()
  const { work, signals, end } = deferred()
  const results = [shared.join('a', stay(), work), shared.join('a', stay(), work)]
  end().resolve('done')
  expect(await Promise.all(results)).toEqual(['done', 'done'])
  expect(signals).toHaveLength(1)
})

test('what is asked for after the end is done anew', async () => {
  const shared = new SharedWork<string>()
  const { work, signals, end } = deferred()
  const first = shared.join('a', stay(), work)
  end().reject(new Error('no'))
  await expect(first).rejects.toThrow('no')
  const second = shared.join('a', stay(), work)
  end(1).resolve('done')
  expect(await second).toBe('done')
  expect(signals).toHaveLength(2)
})

test('one who leaves does not end the work of the others', async () => {
  const shared = new SharedWork<string>()
  const { work, signals, end } = deferred()
  const leaving = new AbortController()
  const gone = shared.join('a', leaving.signal, work)
  const staying = shared.join('a', stay(), work)
  leaving.abort(new Error('left'))
  await expect(gone).rejects.toThrow('left')
  expect(signals[0]?.aborted).toBe(false)
  end().resolve('done')
  expect(await staying).toBe('done')
})

test('the last one who leaves ends the work, and the next one starts it anew', async () => {
  const shared = new SharedWork<string>()
  const { work, signals, end } = deferred()
  const leaving = new AbortController()
  const gone = shared.join('a', leaving.signal, work)
  leaving.abort(new Error('left'))
  await expect(gone).rejects.toThrow('left')
  expect(signals[0]?.aborted).toBe(true)
  const next = shared.join('a', stay(), work)
  end().reject(new Error('the first one, of which nobody hears'))
  await settle()
  end(1).resolve('done')
  expect(await next).toBe('done')
})

test('somebody who has left already starts nothing', async () => {
  const { work, signals } = deferred()
  await expect(new SharedWork<string>().join('a', AbortSignal.abort(new Error('left')), work)).rejects.toThrow('left')
  expect(signals).toEqual([])
})

import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { aborted, LinkedAbort, onAbort, orWhenAborted, unlessAborted } from '../../../agent/lib/abort.js'
import { settle } from '../../fakes/clock.js'

const listeners = (stop: AbortController) => getEventListeners(stop.signal, 'abort').length

test('work that ends first decides, and leaves no listener behind', async () => {
  const stop = new AbortController()
  await expect(unlessAborted(Promise.resolve(5), stop.signal)).resolves.toBe(5)
  await expect(unlessAborted(Promise.reject(new Error('failed')), stop.signal)).rejects.toThrow('failed')
  await settle()
  expect(listeners(stop)).toBe(0)
})

test('a signal that aborts first decides, at once where it has, and what the work comes to is ignored', async () => {
  for (const when of ['before', 'meanwhile']) {
    const stop = new AbortController()
    const reason = new Error(when)
    let fail: (error: Error) => void = () => undefined
    const work = new Promise<never>((_, reject) => {
      fail = reject
    })
    if (when === 'before') stop.abort(reason)
    const raced = unlessAborted(work, stop.signal)
    if (when === 'meanwhile') stop.abort(reason)
    await expect(raced).rejects.toBe(reason)
    // An unhandled rejection would fail the run.
    fail(new Error('too late'))
    await settle()
  }
})

test('an abort puts a value in place of an answer, at once where it has been, and leaves no listener behind', async () => {
  const stop = new AbortController()
  await expect(orWhenAborted(Promise.resolve('answer'), stop.signal, 'late')).resolves.toBe('answer')
  await expect(orWhenAborted(Promise.reject(new Error('failed')), stop.signal, 'late')).rejects.toThrow('failed')
  await settle()
  expect(listeners(stop)).toBe(0)
  let fail: (error: Error) => void = () => undefined
  const work = new Promise<string>((_, reject) => {
    fail = reject
  })
  const meanwhile = orWhenAborted(work, stop.signal, 'late')
  stop.abort()
  await expect(meanwhile).resolves.toBe('late')
  await expect(orWhenAborted(work, stop.signal, 'late')).resolves.toBe('late')
  // An unhandled rejection would fail the run.
  fail(new Error('too late'))
  await settle()
})

test('a listener hears of an abort once, also of one that has been, and not after it was disposed', async () => {
  const stop = new AbortController()
  const heard: string[] = []
  onAbort(stop.signal, () => heard.push('disposed'))[Symbol.dispose]()
  onAbort(stop.signal, () => heard.push('meanwhile'))
  const ended = aborted(stop.signal)
  stop.abort()
  await ended
  onAbort(stop.signal, () => heard.push('afterwards'))
  await aborted(stop.signal)
  expect(heard).toEqual(['meanwhile', 'afterwards'])
})

test('a linked signal aborts with the outer one, for its reason, or by itself', () => {
  const outer = new AbortController()
  const own = new LinkedAbort(outer.signal)
  own.abort('own')
  expect(own.signal.reason).toBe('own')
  expect(outer.signal.aborted).toBe(false)
  const linked = new LinkedAbort(outer.signal)
  outer.abort('outer')
  expect(linked.signal.reason).toBe('outer')
  expect(new LinkedAbort(outer.signal).signal.reason).toBe('outer')
})

test('a linked signal that was disposed leaves no listener behind and does not abort any more', () => {
  const outer = new AbortController()
  const linked = new LinkedAbort(outer.signal)
  linked[Symbol.dispose]()
  expect(listeners(outer)).toBe(0)
  outer.abort()
  expect(linked.signal.aborted).toBe(false)
})

import { setMaxListeners } from 'node:events'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { systemRandom } from '../../../agent/platform/system-random.js'

let jumped = 0
let clock: SystemClock
beforeEach(() => {
  jumped = 0
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'performance', 'Date'] })
  clock = new SystemClock(() => Date.now() + jumped)
})
afterEach(() => {
  vi.useRealTimers()
})

/** Whether the promise has settled by now. */
async function settled(promise: Promise<unknown>): Promise<boolean> {
  let done = false
  promise.then(
    () => {
      done = true
    },
    () => {
      done = true
    },
  )
  await vi.advanceTimersByTimeAsync(0)
  return done
}

test('a sleep ends after its time and leaves no timer behind', async () => {
  const sleep = clock.sleep(1000)
  await vi.advanceTimersByTimeAsync(999)
  expect(await settled(sleep)).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(await settled(sleep)).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
})

test('an abort rejects with its reason and leaves neither timer nor listener behind', async () => {
  const controller = new AbortController()
  const remove = vi.spyOn(controller.signal, 'removeEventListener')
  const sleep = clock.sleep(60_000, controller.signal)
  controller.abort(new Error('stop'))
  await expect(sleep).rejects.toThrow('stop')
  expect(vi.getTimerCount()).toBe(0)
  expect(remove).toHaveBeenCalled()
})

test('a sleep that ends leaves no listener on its signal', async () => {
  const { signal } = new AbortController()
  const add = vi.spyOn(signal, 'addEventListener')
  const remove = vi.spyOn(signal, 'removeEventListener')
  const sleep = clock.sleep(10, signal)
  await vi.advanceTimersByTimeAsync(10)
  await sleep
  expect(remove.mock.calls.map((call) => call[1])).toEqual(add.mock.calls.map((call) => call[1]))
})

test('a signal that is already aborted rejects at once', async () => {
  await expect(clock.sleep(10, AbortSignal.abort(new Error('stop')))).rejects.toThrow('stop')
  expect(vi.getTimerCount()).toBe(0)
})

test.each([3_600_000, -3_600_000])('a wall clock that jumps by %d ms wakes sleepers within 5 seconds', async (by) => {
  const sleep = clock.sleep(86_400_000)
  jumped = by
  await vi.advanceTimersByTimeAsync(5_000)
  expect(await settled(sleep)).toBe(true)
  expect(vi.getTimerCount()).toBe(0)
})

test('a jump before the sleep began, or a small one, wakes nobody', async () => {
  jumped = 3_600_000
  const sleep = clock.sleep(600_000)
  jumped += 500
  await vi.advanceTimersByTimeAsync(300_000)
  expect(await settled(sleep)).toBe(false)
  await vi.advanceTimersByTimeAsync(300_000)
  await sleep
})

test('a jump does not run timers early', async () => {
  const run = vi.fn()
  using _ = clock.after(86_400_000, run)
  jumped = 86_400_000
  await vi.advanceTimersByTimeAsync(60_000)
  expect(run).not.toHaveBeenCalled()
})

test('a thousand sleepers share one comparison', () => {
  const controller = new AbortController()
  setMaxListeners(0, controller.signal)
  const sleeps = Array.from({ length: 1000 }, () => clock.sleep(3_600_000, controller.signal))
  expect(vi.getTimerCount()).toBe(1001)
  controller.abort()
  expect(vi.getTimerCount()).toBe(0)
  return Promise.allSettled(sleeps)
})

test('a wait of forty days does not fire at once', async () => {
  const sleep = clock.sleep(40 * 86_400_000)
  await vi.advanceTimersByTimeAsync(30 * 86_400_000)
  expect(await settled(sleep)).toBe(false)
  await vi.advanceTimersByTimeAsync(10 * 86_400_000)
  expect(await settled(sleep)).toBe(true)
})

test('a timer that is disposed never runs', async () => {
  const run = vi.fn()
  clock.after(10, run)[Symbol.dispose]()
  await vi.advanceTimersByTimeAsync(100)
  expect(run).not.toHaveBeenCalled()
})

test('a sleep of NaN is a mistake of ours', () => {
  expect(() => clock.sleep(Number.NaN)).toThrow(TypeError)
})

test('a real sleep never ends before its time on the monotonic clock', async () => {
  vi.useRealTimers()
  const real = new SystemClock()
  for (let i = 0; i < 20; i++) {
    const due = real.monotonic() + 1.3
    await real.sleep(1.3)
    expect(real.monotonic()).toBeGreaterThanOrEqual(due)
  }
})

test('chance lies in [0, 1) and differs', () => {
  const drawn = Array.from({ length: 100 }, () => systemRandom.fraction())
  expect(drawn.every((fraction) => fraction >= 0 && fraction < 1)).toBe(true)
  expect(new Set(drawn).size).toBe(100)
})

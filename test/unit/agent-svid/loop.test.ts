import { describe, expect, it } from 'vitest'
import { type AgentSvidLoopOptions, type Duty, runLoop } from '../../../agent/agent-svid/loop.js'
import { AgentError } from '../../../agent/errors.js'
import { FakeClock, settle } from '../../fakes/clock.js'

/** A loop with one duty, whose next time, outcome and wake-ups the test decides; it records when it ran (ms since the start). */
function kept({ retryAfterMs, ...duty }: Partial<Duty & Pick<AgentSvidLoopOptions, 'retryAfterMs'>> = {}) {
  const clock = new FakeClock()
  const start = clock.now()
  const stop = new AbortController()
  const wakers = new Set<() => void>()
  const it = {
    clock,
    stop,
    start,
    ran: [] as number[],
    next: null as number | null,
    fail: null as unknown,
    wakers,
    change: () => {
      for (const wake of wakers) wake()
    },
    done: Promise.resolve(),
  }
  it.done = runLoop({
    clock,
    signal: stop.signal,
    duties: [
      {
        nextAt: () => it.next,
        run: async () => {
          it.ran.push(clock.now() - start)
          if (it.fail) throw it.fail
          it.next = null
        },
        ...duty,
      },
    ],
    onChange: (wake) => {
      wakers.add(wake)
      return { [Symbol.dispose]: () => void wakers.delete(wake) }
    },
    retryAfterMs: retryAfterMs ?? ((_error, failures) => failures * 10_000),
  })
  return it
}

describe('the loop', () => {
  it('runs at its time, not before', async () => {
    const k = kept()
    k.next = k.start + 60_000
    k.change()
    await k.clock.advance(59_999)
    expect(k.ran).toEqual([])
    await k.clock.advance(1)
    expect(k.ran).toEqual([60_000])
  })

  it('sleeps without a timer while there is nothing to do, and wakes at a change', async () => {
    const k = kept()
    await k.clock.advance('24h')
    expect([k.ran, k.clock.pending]).toEqual([[], 0])
    k.next = k.clock.now()
    k.change()
    await settle()
    expect(k.ran).toEqual([86_400_000])
  })

  it('a change to an earlier moment is followed', async () => {
    const k = kept()
    k.next = k.start + 3_600_000
    k.change()
    await k.clock.advance('1m')
    k.next = k.start + 120_000
    k.change()
    await k.clock.advance('1m')
    expect(k.ran).toEqual([120_000])
  })

  it('a jump of the wall clock past the moment runs at once', async () => {
    const k = kept()
    k.next = k.start + 3_600_000
    k.change()
    await settle()
    await k.clock.jump('2h')
    expect(k.ran).toEqual([7_200_000])
  })

  it('a jump back waits for the wall clock again', async () => {
    const k = kept()
    k.next = k.start + 3_600_000
    k.change()
    await settle()
    await k.clock.jump('-1h')
    await k.clock.advance('1h')
    expect(k.ran).toEqual([])
    await k.clock.advance('1h')
    expect(k.ran).toEqual([3_600_000])
  })

  it('a moment stuck in the past runs once a spacing, never in a spin', async () => {
    const clock = new FakeClock()
    const stop = new AbortController()
    let runs = 0
    const done = runLoop({
      clock,
      signal: stop.signal,
      duties: [{ nextAt: () => 0, run: async () => void runs++ }],
      retryAfterMs: () => 0,
    })
    await clock.advance('10s')
    expect(runs).toBe(11)
    for (let i = 0; i < 100; i++) await clock.jump('1s')
    expect(runs).toBe(11)
    stop.abort()
    await done
  })

  it('failures back off by the monotonic clock, and a success forgets them', async () => {
    const k = kept()
    k.fail = new AgentError('icp.unreachable', 'away')
    k.next = k.start
    k.change()
    await k.clock.advance('30s')
    expect(k.ran).toEqual([0, 10_000, 30_000])
    await k.clock.jump('1h')
    expect(k.ran).toHaveLength(3)
    k.fail = null
    await k.clock.advance('30s')
    expect(k.ran).toHaveLength(4)
    k.fail = new AgentError('icp.unreachable', 'away')
    k.next = k.start
    k.change()
    // A spacing after the success, then the first step of the backoff again.
    await k.clock.advance('11s')
    expect(k.ran).toHaveLength(6)
  })

  it('a retry asked for sooner than the spacing waits for the spacing', async () => {
    const k = kept({ retryAfterMs: () => 0 })
    k.fail = new AgentError('icp.unreachable', 'away')
    k.next = k.start
    k.change()
    await k.clock.advance('3s')
    expect(k.ran).toEqual([0, 1000, 2000, 3000])
  })

  it('a defect of our own ends it with that error', async () => {
    const k = kept()
    k.fail = new TypeError('defect')
    k.next = k.start
    k.change()
    await expect(k.done).rejects.toThrow(TypeError)
    expect(k.wakers.size).toBe(0)
  })

  it('stopping ends a sleep and leaves no timer, no listener and no subscription', async () => {
    const k = kept()
    k.next = k.start + 60_000
    k.change()
    await settle()
    expect(k.clock.pending).toBe(1)
    k.stop.abort()
    await k.done
    expect([k.clock.pending, k.wakers.size]).toEqual([0, 0])
  })

  it('stopping while a run is in flight awaits it and is no failure', async () => {
    const k = kept({
      nextAt: () => 0,
      run: (signal) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason), { once: true })),
    })
    await settle()
    k.stop.abort()
    await expect(k.done).resolves.toBeUndefined()
  })

  it('a moment further away than a timer can run is reached all the same', async () => {
    const k = kept()
    k.next = k.start + 40 * 86_400_000
    k.change()
    await k.clock.advance('39d')
    expect(k.ran).toEqual([])
    await k.clock.advance('1d')
    expect(k.ran).toEqual([40 * 86_400_000])
  })

  describe('of several duties', () => {
    /** Two duties: one whose runs end when the test says so, and one that is due each second. */
    function two() {
      const clock = new FakeClock()
      const stop = new AbortController()
      const it = {
        clock,
        stop,
        long: 0,
        short: 0,
        most: 0,
        end: () => {},
        fail: null as unknown,
        endedBy: null as unknown,
      }
      let running = 0
      const long = async (signal: AbortSignal) => {
        it.long++
        it.most = Math.max(it.most, ++running)
        signal.addEventListener('abort', () => it.end(), { once: true })
        await new Promise<void>((resolve) => {
          it.end = resolve
        })
        running--
        if (signal.aborted) it.endedBy = signal
      }
      const short = async () => {
        it.short++
        if (it.fail) throw it.fail
      }
      const done = runLoop({
        clock,
        signal: stop.signal,
        duties: [
          { nextAt: () => 0, run: long },
          { nextAt: () => 0, run: short },
        ],
        retryAfterMs: () => 5_000,
      })
      return Object.assign(it, { done })
    }

    it('lets none wait for a run of another, and runs each once at a time', async () => {
      const k = two()
      await k.clock.advance('5s')
      expect([k.long, k.short, k.most]).toEqual([1, 6, 1])
      k.end()
      await settle()
      expect([k.long, k.most]).toEqual([2, 1])
      k.stop.abort()
      await k.done
    })

    it('backs off from the one that fails alone', async () => {
      const k = two()
      k.fail = new AgentError('icp.unreachable', 'away')
      await k.clock.advance('4s')
      k.end()
      await settle()
      // It failed after a second, and waits for five.
      expect([k.long, k.short]).toEqual([2, 2])
      k.stop.abort()
      await k.done
    })

    it('ends the runs of all at a defect in one, and then rejects with it', async () => {
      const k = two()
      k.fail = new TypeError('defect')
      const failed = expect(k.done).rejects.toThrow('defect')
      await k.clock.advance('1s')
      await failed
      expect(k.endedBy).not.toBeNull()
      expect(k.clock.pending).toBe(0)
    })
  })
})

import type { Clock } from '../../agent/ports/clock.js'

interface Sleeper {
  readonly due: number
  readonly order: number
  wake(): void
  /** A sleep wakes when the wall clock jumps; an `after` timer does not. */
  readonly wakesOnJump: boolean
}

/**
 * A clock that stands still until it is told to advance. `advance` runs every sleep that falls due, in order, and lets
 * promises settle between them, so that code under test sees time pass as it would, without waiting.
 */
export class FakeClock implements Clock {
  #monotonic = 0
  #wall: number
  #order = 0
  readonly #sleepers = new Set<Sleeper>()

  constructor(wall = Date.parse('2026-01-01T00:00:00Z')) {
    this.#wall = wall
  }

  now(): number {
    return this.#wall
  }

  monotonic(): number {
    return this.#monotonic
  }

  /** How many sleeps and timers are pending: a leak shows here. */
  get pending(): number {
    return this.#sleepers.size
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason)
        return
      }
      const abort = () => {
        this.#sleepers.delete(sleeper)
        reject(signal?.reason)
      }
      const sleeper: Sleeper = {
        due: this.#monotonic + Math.max(0, ms),
        order: this.#order++,
        wakesOnJump: true,
        wake: () => {
          signal?.removeEventListener('abort', abort)
          resolve()
        },
      }
      signal?.addEventListener('abort', abort, { once: true })
      this.#sleepers.add(sleeper)
    })
  }

  after(ms: number, run: () => void): Disposable {
    const sleeper: Sleeper = {
      due: this.#monotonic + Math.max(0, ms),
      order: this.#order++,
      wakesOnJump: false,
      wake: run,
    }
    this.#sleepers.add(sleeper)
    return { [Symbol.dispose]: () => void this.#sleepers.delete(sleeper) }
  }

  /** Moves both clocks; accepts milliseconds or `30s`, `15m`, `6h`. */
  async advance(by: number | string): Promise<void> {
    const end = this.#monotonic + milliseconds(by)
    await settle()
    for (;;) {
      const next = [...this.#sleepers]
        .filter((sleeper) => sleeper.due <= end)
        .sort((a, b) => a.due - b.due || a.order - b.order)[0]
      if (!next) break
      this.#moveTo(Math.max(next.due, this.#monotonic))
      this.#sleepers.delete(next)
      next.wake()
      await settle()
    }
    this.#moveTo(end)
    await settle()
  }

  /** The wall clock jumps (suspend, NTP); sleepers wake, timers by the monotonic clock do not. */
  async jump(by: number | string): Promise<void> {
    this.#wall += milliseconds(by)
    for (const sleeper of [...this.#sleepers].filter((s) => s.wakesOnJump)) {
      this.#sleepers.delete(sleeper)
      sleeper.wake()
    }
    await settle()
  }

  #moveTo(monotonic: number): void {
    this.#wall += monotonic - this.#monotonic
    this.#monotonic = monotonic
  }
}

/** Lets everything that can run now run: promises, and callbacks of the event loop. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve))
}

function milliseconds(by: number | string): number {
  if (typeof by === 'number') return by
  const match = /^(-?\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(by)
  if (!match) throw new TypeError(`not a duration: ${by}`)
  const unit = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 }[match[2] as 'ms']
  return Number(match[1]) * unit
}

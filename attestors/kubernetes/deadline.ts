import { AgentError } from '../../agent/errors.js'
import type { Clock } from '../../agent/ports/clock.js'

/** Runs the work with a signal that aborts with the outer one, or with `platform.unavailable` after `ms`. */
export async function withDeadline<T>(
  clock: Pick<Clock, 'after'>,
  ms: number,
  signal: AbortSignal,
  work: (limited: AbortSignal) => Promise<T>,
): Promise<T> {
  using limited = new Cut(signal)
  using _timer = clock.after(ms, () =>
    limited.cut(new AgentError('platform.unavailable', `Kubernetes gave no complete answer within ${ms / 1000} s`)),
  )
  return await work(limited.signal)
}

/** A signal that aborts with another one or when it is cut; leaves no listener behind. */
export class Cut implements Disposable {
  readonly #controller = new AbortController()
  readonly #abort = () => this.#controller.abort(this.outer.reason)

  constructor(private readonly outer: AbortSignal) {
    if (outer.aborted) this.#abort()
    else outer.addEventListener('abort', this.#abort, { once: true })
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  cut(reason: unknown): void {
    this.#controller.abort(reason)
  }

  [Symbol.dispose](): void {
    this.outer.removeEventListener('abort', this.#abort)
  }
}

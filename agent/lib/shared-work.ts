import { unlessAborted } from './abort.js'

interface RunningWork<T> {
  readonly result: Promise<T>
  readonly stop: AbortController
  waiting: number
}

/** Work that several callers wait for: it is done once for all of them, and continues while at least one waits. */
export class SharedWork<T> {
  readonly #running = new Map<string, RunningWork<T>>()

  /** Joins the running work of that name, or starts it. Rejects with the signal's reason as soon as it aborts. */
  async join(name: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted()
    const running = this.#running.get(name) ?? this.#start(name, work)
    running.waiting++
    try {
      return await unlessAborted(running.result, signal)
    } finally {
      running.waiting--
      if (running.waiting === 0) {
        this.#forget(name, running)
        running.stop.abort()
      }
    }
  }

  #start(name: string, work: (signal: AbortSignal) => Promise<T>): RunningWork<T> {
    const stop = new AbortController()
    const running: RunningWork<T> = { result: work(stop.signal), stop, waiting: 0 }
    this.#running.set(name, running)
    const forget = () => this.#forget(name, running)
    running.result.then(forget, forget)
    return running
  }

  #forget(name: string, running: RunningWork<T>): void {
    if (this.#running.get(name) === running) this.#running.delete(name)
  }
}

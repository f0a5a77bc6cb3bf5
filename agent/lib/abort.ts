/** Rejects with the signal's reason as soon as it aborts; a later result of the work is ignored. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const link = onAbort(signal, () => reject(signal.reason))
    work.then(resolve, reject).finally(() => link[Symbol.dispose]())
  })
}

/** The result of the work, or `otherwise` as soon as the signal aborts; a later result is ignored. */
export function orWhenAborted<T>(work: Promise<T>, signal: AbortSignal, otherwise: T): Promise<T> {
  return new Promise((resolve, reject) => {
    const link = onAbort(signal, () => resolve(otherwise))
    work.then(resolve, reject).finally(() => link[Symbol.dispose]())
  })
}

/** Resolves when the signal aborts; at once if it already has. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => void onAbort(signal, resolve))
}

/** Calls back once when the signal aborts; at once if it already has. Disposing removes the listener. */
export function onAbort(signal: AbortSignal, listener: () => void): Disposable {
  if (signal.aborted) listener()
  else signal.addEventListener('abort', listener, { once: true })
  return { [Symbol.dispose]: () => signal.removeEventListener('abort', listener) }
}

/**
 * A signal that aborts with an outer one, or by itself. Unlike `AbortSignal.any`, it leaves nothing at the outer signal
 * after disposal, even if that one lives as long as the process.
 */
export class LinkedAbort implements Disposable {
  readonly #controller = new AbortController()
  readonly #link: Disposable

  constructor(outer: AbortSignal) {
    this.#link = onAbort(outer, () => this.#controller.abort(outer.reason))
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason)
  }

  [Symbol.dispose](): void {
    this.#link[Symbol.dispose]()
  }
}

import type { Looked, LookUp } from './look-up.js'
import { Slots } from './slots.js'

export interface SharedLooksOptions {
  readonly lookUp: Pick<LookUp, 'container'>
  /** A lookup has finished without a change of the container meanwhile. `late`: no caller waits for it any more. */
  readonly onLooked: (id: string, looked: Looked, careful: boolean, late: boolean) => void
}

interface Look {
  readonly controller: AbortController
  answer: Promise<Looked> | null
  waiting: number
  begun: boolean
}

/** Limit of concurrent lookups; an engine answers one after another. */
const AT_ONCE = 8

/** Shares lookups: at most one at a time for each container, for all callers that need it. */
export class SharedLooks implements Disposable {
  readonly #looks = new Map<string, Look>()
  readonly #slots = new Slots(AT_ONCE)

  constructor(private readonly options: SharedLooksOptions) {}

  /** `unknown` if the signal aborts first. */
  async at(id: string, careful: boolean, signal: AbortSignal): Promise<Looked> {
    const look = this.#looks.get(keyOf(id, careful)) ?? this.#start(id, careful)
    let leave: () => void = () => undefined
    const late = new Promise<Looked>((resolve) => {
      leave = () => resolve({ kind: 'unknown', why: 'the container engine did not answer in time' })
    })
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    look.waiting++
    try {
      return await Promise.race([look.answer ?? late, late])
    } finally {
      signal.removeEventListener('abort', leave)
      // A request that has begun continues, because its answer serves the next caller.
      if (--look.waiting === 0 && !look.begun) look.controller.abort()
    }
  }

  /**
   * The container changed: the result of a running lookup may be outdated, so only its present callers get it.
   */
  outdated(id: string): void {
    for (const careful of [false, true]) this.#looks.delete(keyOf(id, careful))
  }

  allOutdated(): void {
    this.#looks.clear()
  }

  [Symbol.dispose](): void {
    for (const { controller } of this.#looks.values()) controller.abort()
  }

  #start(id: string, careful: boolean): Look {
    const look: Look = { controller: new AbortController(), answer: null, waiting: 0, begun: false }
    this.#looks.set(keyOf(id, careful), look)
    look.answer = this.#run(id, careful, look)
    return look
  }

  async #run(id: string, careful: boolean, look: Look): Promise<Looked> {
    const key = keyOf(id, careful)
    const { signal } = look.controller
    try {
      using _slot = await this.#slots.take(signal)
      look.begun = true
      const looked = await this.options.lookUp.container(id, careful, signal)
      if (this.#looks.get(key) === look) this.options.onLooked(id, looked, careful, look.waiting === 0)
      return looked
    } catch (error) {
      if (signal.aborted) return { kind: 'unknown', why: 'no caller waits for the container engine any more' }
      throw error
    } finally {
      if (this.#looks.get(key) === look) this.#looks.delete(key)
    }
  }
}

function keyOf(id: string, careful: boolean): string {
  return careful ? `${id} careful` : id
}

import type { Looked, LookUp } from './look-up.js'
import { Slots } from './slots.js'

export interface SharedLooksOptions {
  readonly lookUp: Pick<LookUp, 'container'>
  /** Somebody looked, and nothing has happened to the container since. `late`: nobody waits any more. */
  readonly onLooked: (id: string, looked: Looked, careful: boolean, late: boolean) => void
}

interface Look {
  readonly controller: AbortController
  answer: Promise<Looked> | null
  waiting: number
  begun: boolean
}

/** At once; an engine answers one after the other anyway. */
const AT_ONCE = 8

/** Looks at containers, one at a time for each, shared by all who want to know of it. */
export class SharedLooks implements Disposable {
  readonly #looks = new Map<string, Look>()
  readonly #slots = new Slots(AT_ONCE)

  constructor(private readonly options: SharedLooksOptions) {}

  /** `unknown` when the signal aborts first. */
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
      // A request that has begun goes on: a slow answer serves the next caller.
      if (--look.waiting === 0 && !look.begun) look.controller.abort()
    }
  }

  /**
   * Something happened to the container: whoever looks now may have looked before, and what he finds is for him only.
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
      if (signal.aborted) return { kind: 'unknown', why: 'nobody waits for the container engine any more' }
      throw error
    } finally {
      if (this.#looks.get(key) === look) this.#looks.delete(key)
    }
  }
}

function keyOf(id: string, careful: boolean): string {
  return careful ? `${id} careful` : id
}

import { free, type Span } from './ledger.js'

/** An identity that a workload still had after its entry was gone. */
export interface Leftover extends Span {
  readonly name: string
  readonly spiffeId: string
}

interface Shown {
  readonly spiffeId: string
  readonly since: number
}

/** Who has which identity, of which entries were taken away, and how long the one outlasted the other. */
export class Withdrawals {
  readonly #gone = new Map<string, number>()
  readonly #shown = new Map<string, readonly Shown[]>()
  readonly #leftovers: Leftover[] = []

  /** The server no longer has an entry of the identity. */
  withdrawn(spiffeId: string, at: number): void {
    this.#gone.set(spiffeId, at)
  }

  /** It has one again. */
  granted(spiffeId: string, at: number): void {
    for (const [name, shown] of this.#shown) {
      for (const each of shown) if (each.spiffeId === spiffeId) this.#end(name, each, at)
    }
    this.#gone.delete(spiffeId)
  }

  /** From now on the workload has these, and no others; none when its stream ended. */
  shows(name: string, ids: readonly string[], at: number): void {
    const before = this.#shown.get(name) ?? []
    for (const each of before) if (!ids.includes(each.spiffeId)) this.#end(name, each, at)
    this.#shown.set(
      name,
      ids.map((spiffeId) => before.find((each) => each.spiffeId === spiffeId) ?? { spiffeId, since: at }),
    )
  }

  /** The workload was ended. */
  ended(name: string, at: number): void {
    this.shows(name, [], at)
    this.#shown.delete(name)
  }

  /** Whoever still has one has had it until now. */
  close(at: number): void {
    for (const name of [...this.#shown.keys()]) this.ended(name, at)
  }

  /** The stretches in which nothing kept the agent from hearing of the withdrawal. */
  undisturbed(excuses: readonly Span[]): readonly Leftover[] {
    return this.#leftovers.flatMap((leftover) => free(leftover, excuses).map((part) => ({ ...leftover, ...part })))
  }

  /** How many times a workload lost an identity that was taken away, and the longest that took. */
  get seen(): { readonly count: number; readonly longestMs: number } {
    return {
      count: this.#leftovers.length,
      longestMs: Math.max(0, ...this.#leftovers.map(({ from, to }) => to - from)),
    }
  }

  #end(name: string, { spiffeId, since }: Shown, at: number): void {
    const gone = this.#gone.get(spiffeId)
    if (gone === undefined) return
    this.#leftovers.push({ name, spiffeId, from: Math.max(gone, since), to: Math.max(at, gone, since) })
  }
}

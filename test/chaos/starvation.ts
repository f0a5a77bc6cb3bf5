import { readFileSync } from 'node:fs'
import { free, type Span } from './ledger.js'

/** A process that waited for a processor for so much of a stretch was starved in it. */
const STARVED = 0.3

/** What a process has waited for a processor, in milliseconds, by its pid; it may have been replaced meanwhile. */
export interface Waited {
  readonly pid: number
  readonly waitedMs: number
}

/**
 * When the machine had no processor for those whose promptness is judged. How soon somebody is back then says nothing of
 * the agent: such stretches do not count, and are told.
 */
export class Starvation {
  readonly #spans: Span[] = []
  #last: { readonly at: number; readonly waited: readonly Waited[] } | null = null

  /** What the processes have waited by now; stretches lie between two calls. */
  sample(at: number, waited: readonly Waited[]): void {
    const last = this.#last
    this.#last = { at, waited }
    if (!last || at <= last.at) return
    const starved = waited.some(({ pid, waitedMs }) => {
      const before = last.waited.find((each) => each.pid === pid)
      return before !== undefined && waitedMs - before.waitedMs > STARVED * (at - last.at)
    })
    if (!starved) return
    const previous = this.#spans.at(-1)
    if (previous?.to === last.at) this.#spans[this.#spans.length - 1] = { from: previous.from, to: at }
    else this.#spans.push({ from: last.at, to: at })
  }

  /** How much of a stretch was not starved: that is what counts of it. */
  fedMs(span: Span): number {
    return free(span, this.#spans).reduce((sum, { from, to }) => sum + to - from, 0)
  }

  get spans(): readonly Span[] {
    return this.#spans
  }

  get seconds(): number {
    return Math.round(this.#spans.reduce((sum, { from, to }) => sum + to - from, 0) / 1000)
  }
}

/** What the main thread of a process has waited for a processor; null where it has ended or the kernel does not say. */
export function waitedOf(pid: number): Waited | null {
  try {
    const [, waitedNs] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ')
    return { pid, waitedMs: Number(waitedNs) / 1e6 }
  } catch (error) {
    if (error instanceof Error && 'code' in error) return null
    throw error
  }
}

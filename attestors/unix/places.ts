import { Turns } from './turns.js'

/** Files that are open at a time, each with a descriptor of the agent; the others wait without one. */
const PLACES = 16

export interface Placed {
  /** `container:ID` or `uid:N`: whom a place counts against. */
  readonly subject: string
  /** Somebody waits for it. */
  readonly wanted: boolean
  /** It was told to give up its place, and has not yet. */
  readonly leaving: boolean
}

/**
 * The places of the thread that reads executables: who takes a free one, and who gives up his for whom. It only decides.
 *
 * Subjects share the places evenly, and those of one subject go round: whatever was read for a mebibyte goes behind what
 * waits, and is read on from there when its turn comes again. So a program waits for one mebibyte of each one that came
 * before it and never for all of a large one: of five hundred, the last is begun after half a gigabyte, which the thread
 * reads well within the time that attestation has.
 */
export class Places<T extends Placed> {
  readonly waiting = new Turns<T>()

  /** `taken`: what has a place now, in the order it came to it. */
  constructor(private readonly taken: () => Iterable<T>) {}

  /** Takes the next one of those who wait; none while no place is free. */
  next(): T | undefined {
    const taken = [...this.taken()]
    if (taken.length >= PLACES) return undefined
    const shares = sharesOf(taken)
    return this.waiting.next((subject) => shares.get(subject)?.length ?? 0)
  }

  /**
   * Who is to leave at once because others wait, one at a time: what nobody waits for, whosesoever it is; else, where a
   * subject has no place at all, what came last of the subject that has the most.
   */
  displaced(): T | undefined {
    const taken = [...this.taken()]
    if (this.waiting.size === 0 || taken.some(({ leaving }) => leaving)) return undefined
    const idle = taken.find(({ wanted }) => !wanted)
    if (idle) return idle
    const shares = sharesOf(taken)
    if ([...this.waiting.subjects].every((subject) => shares.has(subject))) return undefined
    const [most = []] = [...shares.values()].sort((a, b) => b.length - a.length)
    return most.length > 1 ? most.at(-1) : undefined
  }

  /** Whether it leaves after its mebibyte: its subject waits for another, or one that has no more places than it. */
  hasHadItsTurn({ subject, leaving }: T): boolean {
    const taken = [...this.taken()]
    if (leaving || this.waiting.size <= taken.filter((one) => one.leaving).length) return false
    const shares = sharesOf(taken)
    const placesOf = (of: string): number => shares.get(of)?.length ?? 0
    return [...this.waiting.subjects].some((other) => placesOf(other) <= placesOf(subject))
  }

  /** What a subject does not wait for any more, but for the oldest: that is read on while nobody needs its place. */
  idle(subject: string): readonly T[] {
    return [...this.taken()].filter((one) => one.subject === subject && !one.wanted && !one.leaving).slice(1)
  }
}

function sharesOf<T extends Placed>(taken: readonly T[]): ReadonlyMap<string, readonly T[]> {
  const shares = new Map<string, T[]>()
  for (const one of taken) {
    const others = shares.get(one.subject)
    if (others) others.push(one)
    else shares.set(one.subject, [one])
  }
  return shares
}

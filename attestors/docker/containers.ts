import type { Selectors } from '../../agent/identity/selector.js'
import type { Clock } from '../../agent/ports/clock.js'
import { type Claim, type FirstProcess, holds } from './claim.js'
import { type FactsOptions, factsOf } from './container-facts.js'
import type { EngineEvent } from './engine-api.js'
import type { Looked, LookUp } from './look-up.js'
import { Slots } from './slots.js'
import { Watchers } from './watchers.js'

export interface ContainersOptions {
  readonly lookUp: Pick<LookUp, 'container'>
  readonly clock: Clock
  readonly facts: FactsOptions
}

export type Found =
  | { readonly kind: 'known'; readonly facts: Selectors; readonly notes: readonly string[] }
  /** The engine knows the container, and its first process is elsewhere: the claim is false. */
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'absent'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string }

interface Known {
  readonly facts: Selectors
  readonly notes: readonly string[]
  readonly first: FirstProcess
  /** Looked at twice. */
  readonly careful: boolean
  /** Something may have changed: asked about again at the next need, and good for as long as there is no answer. */
  stale: boolean
}

/** One look at a container, which all share who want to know of it. */
interface Flight {
  readonly controller: AbortController
  answer: Promise<Looked> | null
  waiting: number
  begun: boolean
}

/** At once; an engine answers one after the other anyway. */
const AT_ONCE = 8
const MAX_KNOWN = 4096
/** Containers that this engine does not know are those of another one. */
const ABSENT_MS = 30_000
const MAX_ABSENT = 1024

/**
 * The containers of the engine, as far as somebody asked about them: remembered until the engine says that they ended.
 * What is known costs no request. What was known stays so while the engine is away: only its word withdraws anything.
 */
export class Containers implements Disposable {
  readonly watchers = new Watchers()
  readonly #known = new Map<string, Known>()
  readonly #absent = new Map<string, { readonly why: string; readonly until: number }>()
  readonly #flights = new Map<string, Flight>()
  readonly #slots = new Slots(AT_ONCE)
  /** The engine tells of changes. */
  #live = false
  #answered = false

  constructor(private readonly options: ContainersOptions) {}

  get size(): number {
    return this.#known.size
  }

  /** Whether the engine has ever answered. */
  get answered(): boolean {
    return this.#answered
  }

  /** What the engine says of a claim; `unknown` when the signal aborts first. At once where the container is known. */
  async find(claim: Claim, signal: AbortSignal): Promise<Found> {
    const id = claim.containerId
    const known = this.#known.get(id)
    if (known && !known.stale && (known.careful || !claim.doubtful)) {
      const found = judged(claim, known)
      if (found.kind === 'known' || this.#live) return found
    }
    const absent = this.#absent.get(id)
    if (absent && absent.until > this.options.clock.monotonic()) return { kind: 'absent', why: absent.why }
    const looked = await this.#look(claim, signal)
    if (looked.kind === 'absent') return looked
    const now = this.#known.get(id)
    if (now && (looked.kind === 'found' || now.careful || !claim.doubtful)) return judged(claim, now)
    return { kind: 'unknown', why: looked.kind === 'unknown' ? looked.why : 'the container has just ended' }
  }

  /** From now on the engine tells of every change; before, some may have been missed. */
  opened(): void {
    this.#live = true
    this.#answered = true
    for (const known of this.#known.values()) known.stale = true
    this.#absent.clear()
    this.#flights.clear()
    this.watchers.tellAll()
  }

  closed(): void {
    this.#live = false
  }

  happened({ containerId, what }: EngineEvent): void {
    const known = this.#known.get(containerId)
    if (what === 'ended') this.#known.delete(containerId)
    else if (known) known.stale = true
    this.#absent.delete(containerId)
    // Who looks already may have looked before: what he finds is not remembered.
    for (const doubtful of [false, true]) this.#flights.delete(keyOf(containerId, doubtful))
    this.watchers.tell(containerId)
  }

  [Symbol.dispose](): void {
    for (const { controller } of this.#flights.values()) controller.abort()
  }

  async #look({ containerId, doubtful }: Claim, signal: AbortSignal): Promise<Looked> {
    const key = keyOf(containerId, doubtful)
    const flight = this.#flights.get(key) ?? this.#start(containerId, doubtful)
    let leave: () => void = () => undefined
    const late = new Promise<Looked>((resolve) => {
      leave = () => resolve({ kind: 'unknown', why: 'the container engine did not answer in time' })
    })
    signal.addEventListener('abort', leave, { once: true })
    if (signal.aborted) leave()
    flight.waiting++
    try {
      return await Promise.race([flight.answer ?? late, late])
    } finally {
      signal.removeEventListener('abort', leave)
      // What has begun goes on: a slow answer serves the next one who asks.
      if (--flight.waiting === 0 && !flight.begun) flight.controller.abort()
    }
  }

  #start(id: string, careful: boolean): Flight {
    const flight: Flight = { controller: new AbortController(), answer: null, waiting: 0, begun: false }
    this.#flights.set(keyOf(id, careful), flight)
    flight.answer = this.#fly(id, careful, flight)
    return flight
  }

  async #fly(id: string, careful: boolean, flight: Flight): Promise<Looked> {
    const key = keyOf(id, careful)
    const { signal } = flight.controller
    try {
      using _slot = await this.#slots.take(signal)
      flight.begun = true
      const looked = await this.options.lookUp.container(id, careful, signal)
      if (this.#flights.get(key) === flight) this.#remember(id, looked, careful)
      if (flight.waiting === 0 && looked.kind !== 'unknown') this.watchers.tell(id)
      return looked
    } catch (error) {
      if (signal.aborted) return { kind: 'unknown', why: 'nobody waits for the container engine any more' }
      throw error
    } finally {
      if (this.#flights.get(key) === flight) this.#flights.delete(key)
    }
  }

  #remember(id: string, looked: Looked, careful: boolean): void {
    if (looked.kind !== 'unknown') this.#answered = true
    if (looked.kind === 'found') {
      const { facts, notes } = factsOf(looked.container, this.options.facts)
      this.#known.set(id, { facts, notes, first: looked.first, careful, stale: false })
      trim(this.#known, MAX_KNOWN)
    } else if (looked.kind === 'absent') {
      this.#known.delete(id)
      this.#absent.set(id, { why: looked.why, until: this.options.clock.monotonic() + ABSENT_MS })
      trim(this.#absent, MAX_ABSENT)
    }
  }
}

function keyOf(id: string, careful: boolean): string {
  return careful ? `${id} careful` : id
}

function judged(claim: Claim, { facts, notes, first }: Known): Found {
  return holds(claim, first) ? { kind: 'known', facts, notes } : { kind: 'elsewhere' }
}

/** The oldest go. */
function trim(map: Map<string, unknown>, most: number): void {
  for (const key of map.keys()) {
    if (map.size <= most) return
    map.delete(key)
  }
}

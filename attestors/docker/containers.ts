import type { Selectors } from '../../agent/identity/selector.js'
import { dropOldest } from '../../agent/lib/oldest.js'
import type { Clock } from '../../agent/ports/clock.js'
import { CONFIRM_MS, SecondLook } from '../shared/second-look.js'
import { type Claim, type FirstProcess, holds } from './claim.js'
import { type ContainerSelectorOptions, selectorsOf } from './container-selectors.js'
import type { EngineEvent } from './engine-api.js'
import type { Looked, LookUp } from './look-up.js'
import { SharedLooks } from './shared-looks.js'
import { Watchers } from './watchers.js'

export interface ContainersOptions {
  readonly lookUp: Pick<LookUp, 'container'>
  readonly clock: Pick<Clock, 'monotonic' | 'after'>
  readonly selectorOptions: ContainerSelectorOptions
}

export type FoundContainer =
  /** `incomplete`: selectors on labels are unavailable now. */
  | {
      readonly kind: 'known'
      readonly selectors: Selectors
      readonly notes: readonly string[]
      readonly incomplete: boolean
    }
  /** The engine knows the container, but its first process is elsewhere: the claim is false. */
  | { readonly kind: 'elsewhere' }
  | { readonly kind: 'absent'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string }

interface KnownContainer {
  readonly selectors: Selectors
  readonly notes: readonly string[]
  readonly incomplete: boolean
  readonly first: FirstProcess
  /** Checked twice. */
  readonly careful: boolean
  /** It may have changed: the engine is asked again at the next need; until it answers, this result is used. */
  stale: boolean
  /** Until when it needs no new request; infinite, unless it is incomplete. */
  readonly until: number
}

const MAX_KNOWN = 4096
/** After this time an incomplete result is requested again at the next need. */
const INCOMPLETE_MS = 5_000
/** How long the engine is not asked again about an unknown container, which is that of another engine. */
const ABSENT_MS = 30_000
const MAX_ABSENT = 1024

/**
 * The containers of the engine that were asked about, cached until the engine reports their end. Cached containers cost no
 * request. They stay while the engine is unreachable: only its answers withdraw them.
 */
export class Containers implements Disposable {
  readonly watchers = new Watchers()
  readonly #known = new Map<string, KnownContainer>()
  readonly #absent = new Map<string, { readonly why: string; readonly until: number }>()
  readonly #looks: SharedLooks
  /** Known containers that the engine denied without having reported their end. */
  readonly #denied: SecondLook
  readonly #timers = new Map<string, Disposable>()
  /** The engine's event stream is open. */
  #live = false
  #answered = false

  constructor(private readonly options: ContainersOptions) {
    this.#denied = new SecondLook(options.clock)
    this.#looks = new SharedLooks({
      lookUp: options.lookUp,
      onLooked: (id, looked, careful, late) => {
        this.#remember(id, looked, careful)
        if (late && looked.kind !== 'unknown') this.watchers.tell(id)
      },
    })
  }

  /** Whether the engine has ever answered. */
  get answered(): boolean {
    return this.#answered
  }

  /** Resolves a claim; `unknown` if the signal aborts first. Immediate for cached containers. */
  async find(claim: Claim, signal: AbortSignal): Promise<FoundContainer> {
    const { containerId: id, doubtful } = claim
    const known = this.#known.get(id)
    if (known && !known.stale && known.until > this.options.clock.monotonic() && (known.careful || !doubtful)) {
      const found = foundFor(claim, known)
      if (found.kind === 'known' || this.#live) return found
    }
    const absent = this.#absent.get(id)
    if (absent && absent.until > this.options.clock.monotonic()) return { kind: 'absent', why: absent.why }
    const looked = await this.#looks.at(id, doubtful, signal)
    if (looked.kind === 'absent' && !this.#known.has(id)) return looked
    if (looked.kind === 'found') {
      return foundFor(claim, {
        ...selectorsOf(looked.container, looked.image, this.options.selectorOptions),
        first: looked.first,
      })
    }
    const kept = this.#known.get(id)
    if (kept && (kept.careful || !doubtful)) return foundFor(claim, kept)
    return looked.kind === 'absent' ? { ...looked, kind: 'unknown' } : looked
  }

  /** The event stream is open: from now on no change is missed, but earlier ones may have been. */
  opened(): void {
    this.#live = true
    this.#answered = true
    for (const known of this.#known.values()) known.stale = true
    this.#absent.clear()
    this.#looks.allOutdated()
    this.watchers.tellAll()
  }

  closed(): void {
    this.#live = false
  }

  happened({ containerId, what }: EngineEvent): void {
    const known = this.#known.get(containerId)
    // An end precedes each start, so a container that is known, or being requested, is already of this run.
    if (what === 'started' && known) return
    this.#absent.delete(containerId)
    if (what === 'ended') {
      this.#known.delete(containerId)
      this.#denied.settled(containerId)
    }
    if (what === 'renamed' && known) known.stale = true
    if (what !== 'started') this.#looks.outdated(containerId)
    this.watchers.tell(containerId)
  }

  [Symbol.dispose](): void {
    this.#looks[Symbol.dispose]()
    for (const timer of this.#timers.values()) timer[Symbol.dispose]()
  }

  #remember(id: string, looked: Looked, careful: boolean): void {
    if (looked.kind === 'unknown') return
    this.#answered = true
    if (looked.kind === 'found') {
      const found = selectorsOf(looked.container, looked.image, this.options.selectorOptions)
      const until = found.incomplete ? this.options.clock.monotonic() + INCOMPLETE_MS : Number.POSITIVE_INFINITY
      this.#known.set(id, { ...found, first: looked.first, careful, stale: false, until })
      dropOldest(this.#known, MAX_KNOWN)
      this.#denied.settled(id)
    } else if (this.#known.has(id) && !this.#denied.denied(id)) {
      this.#lookAgain(id)
    } else {
      this.#known.delete(id)
      this.#absent.set(id, { why: looked.why, until: this.options.clock.monotonic() + ABSENT_MS })
      dropOldest(this.#absent, MAX_ABSENT)
    }
  }

  /** An engine that has just started may not know its containers yet, so their processes are attested again. */
  #lookAgain(id: string): void {
    const known = this.#known.get(id)
    if (known) known.stale = true
    if (this.#timers.has(id)) return
    const timer = this.options.clock.after(CONFIRM_MS, () => {
      this.#timers.delete(id)
      this.watchers.tell(id)
    })
    this.#timers.set(id, timer)
  }
}

function foundFor(
  claim: Claim,
  known: Pick<KnownContainer, 'selectors' | 'notes' | 'incomplete' | 'first'>,
): FoundContainer {
  const { selectors, notes, incomplete, first } = known
  return holds(claim, first) ? { kind: 'known', selectors, notes, incomplete } : { kind: 'elsewhere' }
}

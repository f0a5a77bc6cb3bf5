import { AgentError, messageOf } from '../../agent/errors.js'
import { orWhenAborted } from '../../agent/lib/abort.js'
import { putLast } from '../../agent/lib/oldest.js'
import type { Clock } from '../../agent/ports/clock.js'
import { SecondLook } from '../shared/second-look.js'
import type { AskManager } from './manager-bus.js'
import { interfaceOf, objectPathOf } from './unit-name.js'
import type { Unit } from './unit-of.js'

/** The manager's answer about a unit. */
export type Fragment =
  | { readonly kind: 'known'; readonly path: string }
  /** It has no file: systemd created the unit by itself. */
  | { readonly kind: 'absent'; readonly why: string }
  /** The manager knows no unit in that control group, so it did not create the group. */
  | { readonly kind: 'foreign'; readonly why: string }
  | { readonly kind: 'unknown'; readonly why: string }

export interface FragmentsOptions {
  readonly ask: AskManager
  readonly clock: Clock
}

/** A manager that is reloading its units does not answer; callers wait no longer than this. */
const DEADLINE_MS = 1_000
/** How long an answer is cached: after a `daemon-reload` a unit may come from another file. */
const REMEMBERED_MS = 10_000
const MAX_REMEMBERED = 1_024

interface AskedUnit {
  readonly answer: Promise<Fragment>
  readonly at: number
}

/** The files of units. Concurrent queries of one unit share one request. */
export class Fragments {
  readonly #asked = new Map<string, AskedUnit>()
  /** Units that the manager has confirmed. */
  readonly #owned = new Set<string>()
  readonly #denied: SecondLook

  constructor(private readonly options: FragmentsOptions) {
    this.#denied = new SecondLook(options.clock)
  }

  /** Never rejects; `unknown` if the signal aborts first. */
  async of(unit: Unit, signal: AbortSignal): Promise<Fragment> {
    const { answer } = this.#remembered(unit) ?? this.#start(unit)
    if (signal.aborted) return unknown('no time left')
    return await orWhenAborted(answer, signal, unknown('systemd did not answer in time'))
  }

  #remembered(unit: Unit): AskedUnit | null {
    const asked = this.#asked.get(keyOf(unit))
    return asked && this.options.clock.monotonic() - asked.at < REMEMBERED_MS ? asked : null
  }

  #start(unit: Unit): AskedUnit {
    const key = keyOf(unit)
    const asked = { answer: this.#ask(unit), at: this.options.clock.monotonic() }
    putLast(this.#asked, key, asked, MAX_REMEMBERED)
    void asked.answer.then(({ kind }) => {
      // An unknown result is requested again at the next need.
      if (kind === 'unknown' && this.#asked.get(key) === asked) this.#asked.delete(key)
    })
    return asked
  }

  async #ask({ id, groups }: Unit): Promise<Fragment> {
    const path = objectPathOf(id)
    const deadline = new AbortController()
    using _timer = this.options.clock.after(DEADLINE_MS, () =>
      deadline.abort(new AgentError('platform.unavailable', `systemd did not answer within ${DEADLINE_MS} ms`)),
    )
    try {
      const [group, fragment] = await this.options.ask(
        [
          { path, interface: interfaceOf(id), name: 'ControlGroup' },
          { path, interface: 'org.freedesktop.systemd1.Unit', name: 'FragmentPath' },
        ],
        deadline.signal,
      )
      if (!groups.includes(group ?? '')) return this.#foreign(groups[0] ?? '', `systemd keeps no ${id} in ${groups[0]}`)
      this.#own(groups[0] ?? '')
      if (fragment) return { kind: 'known', path: fragment }
      return { kind: 'absent', why: 'systemd made the unit without a file' }
    } catch (error) {
      return unknown(messageOf(error))
    }
  }

  #own(key: string): void {
    this.#owned.delete(key)
    this.#owned.add(key)
    this.#denied.settled(key)
    const [oldest] = this.#owned
    if (oldest === undefined || this.#owned.size <= MAX_REMEMBERED) return
    this.#owned.delete(oldest)
    this.#denied.settled(oldest)
  }

  /** A manager that has just been re-executed may not know its units yet. */
  #foreign(key: string, why: string): Fragment {
    if (this.#owned.has(key) && !this.#denied.denied(key)) return unknown(`${why}, but it did a moment ago`)
    this.#owned.delete(key)
    return { kind: 'foreign', why }
  }
}

function keyOf({ groups }: Unit): string {
  return groups[0] ?? ''
}

function unknown(why: string): Fragment {
  return { kind: 'unknown', why }
}

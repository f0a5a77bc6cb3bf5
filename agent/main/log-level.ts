import type { Config } from '../config/config.js'
import type { ReloadEvents } from '../observability/reload-events.js'
import type { Clock } from '../ports/clock.js'
import { anyOf, type LiveConfig } from './live-config.js'

export type ConfiguredLevel = Config['logging']['level']

/** The present log level. */
export interface LogLevelReport {
  readonly level: ConfiguredLevel
  readonly configured: ConfiguredLevel
  /** When the configured level is restored, in milliseconds since 1970; null: it is in force, or the other one has no end. */
  readonly until: number | null
}

/** The log level: the configured one, or a temporary one that an administrator has set. */
export class LogLevelControl implements Disposable {
  #set: { readonly level: ConfiguredLevel; readonly until: number | null; readonly timer: Disposable | null } | null =
    null
  readonly #changes: Disposable

  constructor(
    private readonly options: {
      readonly live: LiveConfig
      readonly apply: (level: ConfiguredLevel) => void
      readonly clock: Pick<Clock, 'now' | 'after'>
      readonly events: Pick<ReloadEvents, 'levelSet' | 'levelBack'>
    },
  ) {
    // A reload that changes the level overrides the administrator's.
    this.#changes = options.live.subscribe((changed) => {
      if (anyOf(changed, 'logging.level')) this.#back()
    })
  }

  get report(): LogLevelReport {
    const configured = this.options.live.config.logging.level
    return { level: this.#set?.level ?? configured, configured, until: this.#set?.until ?? null }
  }

  /** `forMs`: how long; null: until a reload changes the level, or a restart. */
  set(level: ConfiguredLevel, forMs: number | null): LogLevelReport {
    const { clock, events, apply } = this.options
    this.#set?.timer?.[Symbol.dispose]()
    this.#set = {
      level,
      until: forMs === null ? null : clock.now() + forMs,
      timer: forMs === null ? null : clock.after(forMs, () => this.#back()),
    }
    // Logged when a line of this level is written, before or after the change.
    events.levelSet(level, forMs === null ? null : forMs / 1000)
    apply(level)
    return this.report
  }

  /** Restores the configured level. */
  #back(): void {
    const was = this.#set
    was?.timer?.[Symbol.dispose]()
    this.#set = null
    const { level } = this.report
    this.options.apply(level)
    if (was) this.options.events.levelBack(level)
  }

  [Symbol.dispose](): void {
    this.#set?.timer?.[Symbol.dispose]()
    this.#changes[Symbol.dispose]()
  }
}

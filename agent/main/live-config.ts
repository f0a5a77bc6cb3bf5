import type { Config } from '../config/config.js'
import type { SettingKey } from '../config/schema.js'
import { Signal } from '../lib/signal.js'

/** The settings whose values changed. */
export type ChangedSettings = ReadonlySet<SettingKey>

/**
 * The configuration in force. `config` is one object for the life of the agent, whose properties, also those of its
 * sections, always have the values in force. Code that reads a setting when it is needed follows every reload.
 */
export class LiveConfig {
  readonly config: Config
  readonly #changes = new Signal<ChangedSettings>()
  #current: Config

  constructor(config: Config) {
    this.#current = config
    this.config = following(() => this.#current)
  }

  /** Puts these settings into force, without notifying subscribers. */
  replace(config: Config): void {
    this.#current = config
  }

  tell(changed: ChangedSettings): void {
    this.#changes.emit(changed)
  }

  /** Calls back after a reload has changed settings, in the same turn. */
  subscribe(changed: (settings: ChangedSettings) => void): Disposable {
    return this.#changes.subscribe(changed)
  }
}

/** Whether a setting whose key begins with one of these changed. */
export function anyOf(changed: ChangedSettings, ...beginnings: readonly string[]): boolean {
  return [...changed].some((key) => beginnings.some((beginning) => key.startsWith(beginning)))
}

/** An object whose properties are read from `read()` at each access. Sections are such objects too. */
function following<T extends object>(read: () => T): T {
  const view: Partial<T> = {}
  for (const key of Object.keys(read()) as (keyof T)[]) {
    const value = read()[key]
    const section = isSection(value) ? following(() => read()[key] as object) : null
    Object.defineProperty(view, key, { enumerable: true, get: () => section ?? read()[key] })
  }
  return view as T
}

/** A section: not a list and not a secret. */
function isSection(value: unknown): value is object {
  return typeof value === 'object' && value !== null && Object.getPrototypeOf(value) === Object.prototype
}

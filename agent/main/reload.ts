import { assemble } from '../config/assemble.js'
import type { Config } from '../config/config.js'
import { difference, fixedByEnvironment, reloaded, type SettingChange } from '../config/difference.js'
import type { EffectiveSettings } from '../config/effective.js'
import type { LoadedConfig } from '../config/load.js'
import type { Environment } from '../config/placeholders.js'
import type { Problem } from '../config/problem.js'
import type { SettingKey } from '../config/schema.js'
import { sourceText } from '../config/tree.js'
import { AgentError, isError, messageOf } from '../errors.js'
import { unlessAborted } from '../lib/abort.js'
import type { ReloadEvents } from '../observability/reload-events.js'
import type { Clock } from '../ports/clock.js'
import type { ServiceManager } from '../ports/service-manager.js'
import type { LiveConfig } from './live-config.js'

/** The sources of the configuration, fixed at the start of the process. */
export interface ConfigurationSource {
  /** The file; null: there is none. */
  readonly path: string | null
  /** The environment, including variables that secrets were read from. */
  readonly env: Environment
  readonly settings: EffectiveSettings
  /** Reads the configuration again. Throws `config.invalid`. */
  reread(): Promise<LoadedConfig>
}

/** The prepared change of a part of the agent. Disposing drops it, unless it was committed. */
export interface PreparedChange extends Disposable {
  /** Puts it into force; must neither wait nor fail. */
  commit(): void
}

/** A part of the agent that must create or open something when the configuration changes. */
export interface Reloadable {
  /** The setting that a failure of `prepare` is reported for. */
  readonly setting: SettingKey
  /** Does everything that can fail or takes time; null: nothing to do. Throws AgentError. */
  readonly prepare: (after: Config) => PreparedChange | null | Promise<PreparedChange | null>
}

/** The trigger of a reload. */
export type ReloadCause = 'SIGHUP' | 'reload' | 'watch'

/** The result of a reload. */
export interface ReloadReport {
  readonly ok: boolean
  readonly at: number
  /** Settings now in force; empty if it failed. */
  readonly changed: readonly SettingChange[]
  readonly needsRestart: readonly SettingChange[]
  readonly fixedByEnvironment: readonly SettingKey[]
  readonly problems: readonly Problem[]
  readonly warnings: readonly Problem[]
}

export interface ReloadOptions {
  readonly source: ConfigurationSource
  readonly live: LiveConfig
  readonly parts: readonly Reloadable[]
  readonly clock: Pick<Clock, 'now'>
  readonly events: ReloadEvents
  readonly serviceManager: Pick<ServiceManager, 'reloading' | 'ready'>
  /** Aborts when the agent stops. */
  readonly signal: AbortSignal
}

/**
 * Reads the configuration again and puts the live settings into force. First everything is prepared (the file is parsed,
 * files opened, attestors created); then all of it is committed in one turn of the event loop, or nothing is.
 */
export class Reload {
  #settings: EffectiveSettings
  #running: Promise<ReloadReport> | null = null
  #waiting: Promise<ReloadReport> | null = null
  #last: ReloadReport | null = null

  constructor(private readonly options: ReloadOptions) {
    this.#settings = options.source.settings
  }

  /** The settings in force. */
  get settings(): EffectiveSettings {
    return this.#settings
  }

  /** Null before the first. */
  get last(): ReloadReport | null {
    return this.#last
  }

  /**
   * Runs one reload at a time. A request during a reload may be about a newer file, so it waits and reads again; all waiting
   * requests share one reload. Never rejects.
   */
  run(how: ReloadCause): Promise<ReloadReport> {
    if (this.#running) {
      this.#waiting ??= this.#running.then(() => {
        this.#waiting = null
        return this.run(how)
      })
      return this.#waiting
    }
    this.#running = this.#once(how).finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #once(how: ReloadCause): Promise<ReloadReport> {
    const { serviceManager, events, signal } = this.options
    if (!signal.aborted) serviceManager.reloading()
    const report = await this.#attempt()
    if (signal.aborted) return report
    this.#last = report
    if (report.ok) events.reloaded({ ...report, how })
    else events.failed(report.problems)
    serviceManager.ready()
    return report
  }

  async #attempt(): Promise<ReloadReport> {
    const { source, signal } = this.options
    try {
      signal.throwIfAborted()
      return await this.#apply(await unlessAborted(source.reread(), signal))
    } catch (error) {
      if (signal.aborted) return this.#failure([STOPPING])
      return this.#failure(problemsOf(error))
    }
  }

  async #apply({ settings: read, warnings }: LoadedConfig): Promise<ReloadReport> {
    const { source, live, signal, clock } = this.options
    const { live: changed, restart: needsRestart } = difference(this.#settings, read)
    const settings = reloaded(this.#settings, read)
    const config = assemble(settings, source.env)
    const { prepared, problems } = await this.#prepare(config, read)
    if (problems.length > 0 || signal.aborted) {
      for (const change of prepared) change[Symbol.dispose]()
      return this.#failure(signal.aborted ? [STOPPING] : problems)
    }
    // From here to the end of the turn nothing awaits and nothing fails.
    this.#settings = settings
    live.replace(config)
    for (const change of prepared) change.commit()
    if (changed.length > 0) live.tell(new Set(changed.map(({ key }) => key)))
    const fixed = fixedByEnvironment(settings)
    return { ok: true, at: clock.now(), changed, needsRestart, fixedByEnvironment: fixed, problems: [], warnings }
  }

  /** Prepares all parts, so that every problem is reported at once. */
  async #prepare(config: Config, read: EffectiveSettings) {
    const prepared: PreparedChange[] = []
    const problems: Problem[] = []
    for (const { setting, prepare } of this.options.parts) {
      try {
        const change = await prepare(config)
        if (change) prepared.push(change)
      } catch (error) {
        const source = sourceText(read[setting].source)
        problems.push({ key: setting, source, problem: `cannot be used: ${messageOf(error)}`, remedy: REMEDY })
      }
    }
    return { prepared, problems }
  }

  #failure(problems: readonly Problem[]): ReloadReport {
    const fixed = fixedByEnvironment(this.#settings)
    const at = this.options.clock.now()
    return { ok: false, at, changed: [], needsRestart: [], fixedByEnvironment: fixed, problems, warnings: [] }
  }
}

const REMEDY = 'put it right and reload again; what was in force before stays in force'
const STOPPING: Problem = {
  key: '(reload)',
  source: 'the agent',
  problem: 'is stopping',
  remedy: 'start it again, which reads the configuration',
}

function problemsOf(error: unknown): readonly Problem[] {
  if (!(error instanceof AgentError)) {
    const remedy = 'report it, and restart the agent to use the configuration'
    return [{ key: '(reload)', source: 'the agent', problem: `failed by a defect: ${messageOf(error)}`, remedy }]
  }
  if (isError(error, 'config.invalid') && error.details.problems) return error.details.problems
  return [
    { key: '(file)', source: 'the configuration', problem: `cannot be read: ${messageOf(error)}`, remedy: REMEDY },
  ]
}

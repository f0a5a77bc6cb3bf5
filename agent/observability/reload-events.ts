import type { Clock } from '../ports/clock.js'
import type { Sinks } from './events.js'
import type { Trouble } from './once.js'

interface Named {
  readonly key: string
}

interface Found {
  readonly key: string
  readonly source: string
  readonly problem: string
  readonly remedy: string
}

/** Reloads of the configuration, and changes of the log level. */
export const reloadEvents = ({ log, metrics, observers }: Sinks, clock: Pick<Clock, 'now'>) => {
  let trouble: Trouble | null = null
  let goodAt = clock.now()
  metrics.gauge('icp_agent_config_last_reload_successful', () => [{ value: trouble === null ? 1 : 0 }])
  metrics.gauge('icp_agent_config_last_reload_success_timestamp_seconds', () => [{ value: goodAt / 1000 }])
  const names = (settings: readonly Named[]) => settings.map(({ key }) => key)
  return {
    reloaded(report: {
      readonly changed: readonly Named[]
      readonly needsRestart: readonly Named[]
      readonly warnings: readonly Found[]
      readonly how: string
    }): void {
      const [changed, needsRestart] = [names(report.changed), names(report.needsRestart)]
      trouble = null
      goodAt = clock.now()
      metrics.count('icp_agent_config_reloads_total', { result: 'success' })
      log.info('Configuration reloaded', { changed })
      if (needsRestart.length > 0)
        log.warn('Changed settings wait for a restart of the agent', { settings: needsRestart })
      for (const warning of report.warnings) log.warn('Configuration warning', { ...warning })
      if (changed.length === 0) return
      for (const observer of observers) observer.configurationChanged?.({ keys: changed, how: report.how })
    },

    failed(problems: readonly Found[]): void {
      const texts = problems.map(({ key, source, problem, remedy }) => `${key} (${source}) ${problem}: ${remedy}`)
      trouble = { code: 'config.invalid', message: texts.join(' '), since: trouble?.since ?? clock.now() }
      metrics.count('icp_agent_config_reloads_total', { result: 'failure' })
      log.error('Configuration cannot be reloaded; nothing was changed', { problems: texts })
    },

    /** `seconds`: until the configured level is restored; null: until a reload. */
    levelSet(level: string, seconds: number | null): void {
      log.info('Log level set by an administrator', { level, seconds })
      for (const observer of observers) observer.configurationChanged?.({ keys: ['logging.level'], how: 'log-level' })
    },

    levelBack(level: string): void {
      log.info('Log level is the configured one again', { level })
    },

    /** Why the last reload failed; null if it succeeded. */
    get trouble(): Trouble | null {
      return trouble
    },
  }
}

export type ReloadEvents = ReturnType<typeof reloadEvents>

import { reloadEvents } from '../observability/reload-events.js'
import type { AgentLog } from '../platform/pino-log.js'
import type { ServiceManager } from '../ports/service-manager.js'
import type { Agent } from './compose.js'
import type { HangUps } from './hang-ups.js'
import { LogLevelControl } from './log-level.js'
import { type ConfigurationSource, Reload, type Reloadable } from './reload.js'
import { watchConfig } from './watch-config.js'
import type { World } from './world.js'

/** The source of configurations while the agent runs, and the parts of the process that change with them. */
export interface ConfigurationWorld {
  readonly configuration: ConfigurationSource
  readonly logControls: Pick<AgentLog, 'prepare' | 'setLevel'>
  readonly hangUps: HangUps
}

export type Reloading = ReturnType<typeof reloading>

/** The triggers of a reload: SIGHUP, administrators, the watched file. */
export function reloading(
  agent: Agent,
  world: World & ConfigurationWorld & { readonly serviceManager: ServiceManager },
  signal: AbortSignal,
) {
  const { clock, files, configuration, logControls, hangUps, log, metrics, serviceManager } = world
  const { live, reloadables, observers } = agent
  const events = reloadEvents({ log: log.named('config'), metrics, observers }, clock)
  const logFile: Reloadable = {
    setting: 'logging.file_path',
    prepare: ({ logging }) => logControls.prepare(logging),
  }
  const parts = [logFile, ...reloadables]
  const reload = new Reload({ source: configuration, live, parts, clock, events, serviceManager, signal })
  const logLevel = new LogLevelControl({ live, apply: (level) => logControls.setLevel(level), clock, events })
  hangUps.answer(() => void reload.run('SIGHUP'))
  return {
    reload,
    logLevel,
    events,
    watch: (until: AbortSignal) =>
      watchConfig({ live, path: configuration.path, files, clock, reload: () => reload.run('watch') }, until),
    [Symbol.dispose]: () => logLevel[Symbol.dispose](),
  }
}

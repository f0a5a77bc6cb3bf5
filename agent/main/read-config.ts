import type { Config } from '../config/config.js'
import { configPath } from '../config/config-path.js'
import { type LoadedConfig, loadConfig } from '../config/load.js'
import { Disk } from '../platform/disk.js'
import { forgetVariables, surroundings } from '../platform/environment.js'
import type { Files } from '../ports/files.js'
import type { CommandIo } from './command.js'
import type { ConfigurationSource } from './reload.js'

export type ReadConfig = Pick<LoadedConfig, 'config' | 'warnings'> & {
  readonly config: Config
  /** How to read it again; `files`: with an end to every wait. */
  readonly source: (files: Pick<Files, 'read'>) => ConfigurationSource
}

/**
 * The configuration that a command runs with, from the file named or found, and the environment. Secrets are removed
 * from the process's environment once read; a reload has those that were there. Throws `config.invalid`, which lists
 * every problem.
 */
export async function readConfig(named: string | undefined, io: Pick<CommandIo, 'env'>): Promise<ReadConfig> {
  const files = new Disk()
  const place = await configPath(named, files)
  const env = { ...io.env }
  // A reload reads the same file, wherever the process is by then.
  const around = { ...place, ...surroundings(env) }
  const { config, warnings, settings, secretVariables } = await loadConfig({ ...around, files })
  forgetVariables(secretVariables)
  const source = (bounded: Pick<Files, 'read'>): ConfigurationSource => ({
    path: place.path,
    env,
    settings,
    reread: () => loadConfig({ ...around, files: bounded }),
  })
  return { config, warnings, source }
}

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
  /** How to read it again; `files` must have deadlines. */
  readonly source: (files: Pick<Files, 'read'>) => ConfigurationSource
}

/**
 * Reads the configuration of a command from the named or default file and the environment. Secrets are removed from the
 * process's environment after that; a reload uses their former values. Throws `config.invalid`, which lists every problem.
 */
export async function readConfig(named: string | undefined, io: Pick<CommandIo, 'env'>): Promise<ReadConfig> {
  const files = new Disk()
  const place = await configPath(named, files)
  const env = { ...io.env }
  // Absolute, so that a reload reads the same file from any working directory.
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

import type { Config } from '../config/config.js'
import { configPath } from '../config/config-path.js'
import { type LoadedConfig, loadConfig } from '../config/load.js'
import { Disk } from '../platform/disk.js'
import { forgetVariables, surroundings } from '../platform/environment.js'
import type { CommandIo } from './command.js'

/**
 * The configuration that a command runs with, from the file named or found, and the environment. Secrets are removed
 * from the process's environment once read. Throws `config.invalid`, which lists every problem.
 */
export async function readConfig(
  named: string | undefined,
  io: Pick<CommandIo, 'env'>,
): Promise<Pick<LoadedConfig, 'config' | 'warnings'> & { readonly config: Config }> {
  const files = new Disk()
  const { config, warnings, secretVariables } = await loadConfig({
    ...(await configPath(named, files)),
    ...surroundings(io.env),
    files,
  })
  forgetVariables(secretVariables)
  return { config, warnings }
}

import { configPath } from '../config/config-path.js'
import { readConfiguration } from '../config/read.js'
import type { Values } from '../config/schema.js'
import { understand } from '../config/values.js'
import { Disk } from '../platform/disk.js'
import { surroundings } from '../platform/environment.js'
import type { CommandIo } from './command.js'

/**
 * The settings of the agent on this machine, for commands that only want to find it: what is wrong with the
 * configuration is not their affair, and a setting that cannot be read has its default.
 */
export async function configuredValues(named: string | undefined, io: Pick<CommandIo, 'env'>): Promise<Values> {
  const files = new Disk()
  const { tree } = await readConfiguration({ ...(await configPath(named, files)), env: io.env, files })
  return understand(tree, surroundings(io.env).workingDirectory).values
}

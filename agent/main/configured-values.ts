import { configPath } from '../config/config-path.js'
import { readConfiguration } from '../config/read.js'
import type { Values } from '../config/schema.js'
import { understand } from '../config/values.js'
import { printable } from '../observability/printable.js'
import { Disk } from '../platform/disk.js'
import { surroundings } from '../platform/environment.js'
import type { CommandIo } from './command.js'

/**
 * The settings of the agent on this machine, for commands that only need to find it. They ignore problems of the
 * configuration; an unreadable setting has its default.
 */
export async function configuredValues(
  named: string | undefined,
  io: Pick<CommandIo, 'env' | 'stderr'>,
): Promise<Values> {
  const files = new Disk()
  const place = await configPath(named, files)
  const { tree, problems, warnings } = await readConfiguration({ ...place, env: io.env, files })
  // If the named file cannot be used, the defaults would lead to another agent.
  const ofFile = place.explicitPath ? [...problems, ...warnings].filter(({ key }) => key === '(file)') : []
  for (const { source, problem } of ofFile) io.stderr.write(`${printable(`${source} ${problem}`)}\n`)
  return understand(tree, surroundings(io.env).workingDirectory).values
}

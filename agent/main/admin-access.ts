import { join, resolve } from 'node:path'
import { AdminClient } from '../admin/client.js'
import { socketFault } from '../platform/socket-fault.js'
import { misused, type OptionTable } from './arguments.js'
import type { CommandIo } from './command.js'
import { configuredValues } from './configured-values.js'

/** The options of every command that uses the admin socket. */
export const ADMIN_OPTIONS = {
  'admin-socket': { type: 'string' },
  config: { type: 'string', short: 'c' },
} as const satisfies OptionTable

/** Their lines of the help. */
export const ADMIN_HELP = `  --admin-socket PATH   the agent's admin socket; default: the one of the configuration
                        (agent.admin_socket_path, else admin.sock in agent.data_dir)
  -c, --config FILE     the configuration; default: ./config.yaml, else /etc/icp-agent/config.yaml`

/**
 * A client of the admin socket of `--admin-socket`, else of the configuration with its variables
 * (`ICP_AGENT_AGENT__ADMIN_SOCKET_PATH`). Sends nothing yet.
 */
export async function adminClient(
  options: { readonly 'admin-socket'?: string; readonly config?: string },
  io: Pick<CommandIo, 'env' | 'stderr'>,
): Promise<AdminClient> {
  const named = options['admin-socket']
  if (named !== undefined) {
    const path = resolve(named.replace(/^unix:(\/\/)?/, ''))
    const fault = socketFault(path)
    if (fault !== null) throw misused(`--admin-socket: ${fault}`)
    return new AdminClient(path)
  }
  const values = await configuredValues(options.config, io)
  return new AdminClient(values['agent.admin_socket_path'] ?? join(values['agent.data_dir'], 'admin.sock'))
}

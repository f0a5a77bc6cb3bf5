import { join } from 'node:path'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { printable } from '../observability/printable.js'
import { Disk } from '../platform/disk.js'
import type { CommandIo } from './command.js'

/** How often the agent of `agent.yaml` reads the entries: about as often as the server's limits allow. */
export const SYNC_SECONDS = 7

/**
 * Writes the configuration of an agent that uses this server, `agent.yaml`, and a fresh `join-token` if nodes attest with
 * join tokens. The agent needs no root: data, socket and health socket are in the server's directory.
 */
export async function writeAgentFiles(icp: DevIcp, dataDir: string): Promise<void> {
  const files = new Disk()
  const write = (name: string, text: string) => files.writeAtomically(join(dataDir, name), Buffer.from(text))
  const workspace = icp.generation === 'workspace'
  if (workspace) await write('join-token', `${(await icp.createJoinToken()).token}\n`)
  const place = (name: string) => JSON.stringify(join(dataDir, name))
  await write(
    'agent.yaml',
    `# Made by icp-agent dev-icp at each start: an agent that uses this server.
agent:
  tenant_id: ${icp.tenantId}
  node_id: dev-node
  data_dir: ${place('agent')}
  socket_path: ${place('run/agent.sock')}
${workspace ? `  join_token_path: ${place('join-token')}\n` : ''}icp_service:
  address: ${icp.address}
  trust_bundle_path: ${JSON.stringify(icp.caPath)}
attestation:
  type: ${workspace ? 'join_token' : 'unix'}
sync:
  interval: ${SYNC_SECONDS}s
logging:
  format: console
health:
  port: 0
`,
  )
}

/** The next commands to type, called in the same way as this one (`npx`). */
export function nextSteps(dataDir: string, env: CommandIo['env']): string {
  const dir = printable(dataDir)
  const icpAgent = env['npm_command'] === 'exec' ? 'npx icp-agent' : 'icp-agent'
  return `
Start an agent that uses it, as the same user:
  ${icpAgent} --config ${dir}/agent.yaml
Register what you run as the workload /me, and see its identity come, within ${SYNC_SECONDS} s, and rotate:
  ${icpAgent} dev-icp entry create --data ${dir} /me unix:uid=$(id -u)
  ${icpAgent} api watch x509 --socket unix://${dir}/run/agent.sock
See how the agent is:
  ${icpAgent} status --config ${dir}/agent.yaml

`
}

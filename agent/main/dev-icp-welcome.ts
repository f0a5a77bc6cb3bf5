import { join } from 'node:path'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { printable } from '../observability/printable.js'
import { Disk } from '../platform/disk.js'

/**
 * Writes the configuration of an agent that uses this server, `agent.yaml`, and, where nodes attest with a join token,
 * a fresh `join-token`. Any user may run that agent: data, socket and health server are in the server's directory.
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
  interval: 7s
logging:
  format: console
health:
  port: 0
`,
  )
}

/** What to type next, for a person. */
export function nextSteps(dataDir: string): string {
  const dir = printable(dataDir)
  return `
Start an agent that uses it, as any user who may read ${dir}:
  icp-agent --config ${dir}/agent.yaml
Register what you run as the workload /me, and fetch its identity:
  icp-agent dev-icp entry create --data ${dir} /me unix:uid=$(id -u)
  icp-agent api fetch x509 --socket unix://${dir}/run/agent.sock --timeout 30s

`
}

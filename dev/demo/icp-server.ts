import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Admin } from './admin.js'
import type { DemoEvent, Generation } from './events.js'
import type { Processes } from './processes.js'

export const NODE_ID = 'demo-node'
const TRUST_DOMAIN = 'demo.example'
/** SVIDs are renewed at half of their life or up to a tenth of it earlier: 7 to 9 seconds after issuance. */
const SVID_TTL = '18s'
const AGENT_TTL = '90s'

/** The settings of the agent for the server. */
export interface IcpServer {
  readonly address: string
  readonly caPath: string
  readonly tenantId: string
  /** Null if nodes attest without one. */
  readonly joinToken: string | null
}

/** Starts the embedded ICP server and registers two entries for the user who runs the demo. */
export async function startIcpServer(
  processes: Processes,
  icpAgent: string,
  data: string,
  generation: Generation,
  onEvent: (event: DemoEvent) => void,
): Promise<IcpServer> {
  const args = [icpAgent, 'dev-icp', '--data', data, '--generation', generation, '--limits', 'off']
  args.push('--svid-ttl', SVID_TTL, '--agent-ttl', AGENT_TTL, '--workload-trust-domain', TRUST_DOMAIN)
  const isUp = (line: Readonly<Record<string, unknown>>) => line['event'] === 'listening'
  const { child, line } = await processes.startUntil('the embedded ICP server', args, isUp)
  const { address, ca_path: caPath, tenant_id: tenantId } = line
  if (typeof address !== 'string' || typeof caPath !== 'string' || typeof tenantId !== 'string') {
    throw new Error('the embedded ICP server did not say where it listens')
  }
  onEvent({ kind: 'server', address, generation, pid: child.pid })
  const [ca, adminToken] = await Promise.all([readFile(caPath, 'utf8'), readFile(join(data, 'admin-token'), 'utf8')])
  const admin = new Admin(address, ca, adminToken.trim())
  const uid = String(process.getuid?.())
  for (const entry of [
    { spiffeId: `spiffe://${TRUST_DOMAIN}/user/${uid}`, selectors: { 'unix:uid': uid } },
    { spiffeId: `spiffe://${TRUST_DOMAIN}/program/node`, selectors: { 'unix:path': process.execPath } },
  ]) {
    await admin.createEntry({ ...entry, parentId: `spiffe://${tenantId}/agent/${NODE_ID}` })
    onEvent({ kind: 'entry', ...entry })
  }
  const joinToken = generation === 'workspace' ? await admin.createJoinToken() : null
  return { address, caPath, tenantId, joinToken }
}

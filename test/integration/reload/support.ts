import { writeFile } from 'node:fs/promises'
import { AdminClient } from '../../../agent/admin/client.js'
import { config } from '../../../agent/admin/routes/config.js'
import { logLevel, setLogLevel } from '../../../agent/admin/routes/log-level.js'
import { reload } from '../../../agent/admin/routes/reload.js'
import { status } from '../../../agent/admin/routes/status.js'
import { createMetrics } from '../../../agent/platform/prom-metrics.js'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import { type RunningAgent, startAgent } from '../../support/agent.js'

/** What the environment of the tests says otherwise, left to the file. */
const OF_THE_FILE = {
  SYNC__INTERVAL: undefined,
  WORKLOAD_API__HOLD: undefined,
  LOGGING__LEVEL: undefined,
  ATTESTATION__TYPE: undefined,
  ICP_SERVICE__TRUST_BUNDLE_PATH: undefined,
  ICP_SERVICE__RETRY_BACKOFF: undefined,
}
const signal = new AbortController().signal

/** A running agent whose configuration is a file, and how to change it. */
export async function reloadable(dir: string, server: DevIcp, more: Parameters<typeof startAgent>[0]['world'] = {}) {
  const path = `${dir}/config.yaml`
  /** Sections by name; they are merged one level deep. */
  const write = async (sections: Readonly<Record<string, object>> = {}) => {
    const base: Record<string, object> = {
      icp_service: { trust_bundle_path: server.caPath, retry_backoff: '1s' },
      attestation: { type: 'unix' },
      sync: { interval: '1s' },
      workload_api: { hold: '30s' },
      logging: { level: 'debug' },
    }
    for (const [name, section] of Object.entries(sections)) base[name] = { ...base[name], ...section }
    // JSON is YAML.
    await writeFile(path, JSON.stringify(base))
  }
  const metrics = createMetrics({ processMetrics: false })
  const start = async (sections?: Parameters<typeof write>[0]): Promise<RunningAgent> => {
    await write(sections)
    return await startAgent({ dir, server, settings: OF_THE_FILE, world: { metrics, ...more } })
  }
  const ask = async <T>(agent: RunningAgent, work: (client: AdminClient) => Promise<T>): Promise<T> => {
    using client = new AdminClient(`${agent.dataDir}/admin.sock`)
    return await work(client)
  }
  return {
    path,
    write,
    start,
    metrics,
    reload: (agent: RunningAgent) =>
      ask(agent, (client) => client.send(reload.schema, { method: 'POST', path: reload.path, body: {}, signal })),
    settings: async (agent: RunningAgent) => {
      const answer = await ask(agent, (client) => client.get(config.schema, config.path, signal))
      return Object.fromEntries(answer.settings.map(({ key, value }) => [key, value]))
    },
    status: (agent: RunningAgent) => ask(agent, (client) => client.get(status.schema, status.path, signal)),
    level: (agent: RunningAgent) => ask(agent, (client) => client.get(logLevel.schema, logLevel.path, signal)),
    setLevel: (agent: RunningAgent, body: object) =>
      ask(agent, (client) => client.send(setLogLevel.schema, { method: 'PUT', path: logLevel.path, body, signal })),
  }
}

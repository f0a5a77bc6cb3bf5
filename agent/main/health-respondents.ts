import { hostname } from 'node:os'
import { isLoopback } from '../observability/loopback.js'
import { misused } from './arguments.js'
import type { Names, Respondent } from './ask-health.js'
import type { CommandIo } from './command.js'
import { configuredValues } from './configured-values.js'
import { healthSocketPath } from './health-socket-path.js'

/** The agent of the configuration: its socket, and the port for users who may not open that. */
export async function configuredRespondents(config: string | undefined, io: CommandIo): Promise<readonly Respondent[]> {
  const values = await configuredValues(config, io)
  if (!values['health.enabled']) {
    throw misused(
      'health.enabled is false in the configuration, so that there is nothing to ask; name another with --url',
    )
  }
  const address = values['health.bind_address']
  const host = { '0.0.0.0': '127.0.0.1', '::': '[::1]' }[address] ?? (address.includes(':') ? `[${address}]` : address)
  const port = {
    url: new URL(`http://${host}:${values['health.port']}`),
    socketPath: null,
    expected: namesIn(values),
  }
  const place = healthSocketPath({ dataDir: values['agent.data_dir'], socketPath: values['agent.socket_path'] })
  const plain = values['health.tls'] === 'off'
  if ('reason' in place) {
    if (plain) return [port]
    throw misused('the port speaks HTTPS (health.tls), and there is no health.sock to ask; name another with --url')
  }
  const socket = { url: new URL('http://localhost'), socketPath: place.path, expected: null }
  return plain ? [socket, port] : [socket]
}

/** The endpoint of a URL. If a configuration is named, or the URL is on this machine, its agent must answer. */
export async function respondentAt(url: URL, config: string | undefined, io: CommandIo): Promise<Respondent> {
  const here = url.hostname === 'localhost' || isLoopback(url.hostname.replace(/^\[|\]$/g, ''))
  const meant = config !== undefined || here
  return { url, socketPath: null, expected: meant ? namesIn(await configuredValues(config, io)) : null }
}

function namesIn(values: Awaited<ReturnType<typeof configuredValues>>): Names | null {
  const tenantId = values['agent.tenant_id']
  return tenantId ? { tenantId, nodeId: values['agent.node_id'] ?? hostname() } : null
}

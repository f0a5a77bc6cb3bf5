import { join, resolve } from 'node:path'
import type { DevIcp } from '../../../dev/icp-server/dev-icp.js'
import type { DevIcpOptions } from '../../../dev/icp-server/options.js'
import type { RequestRecord } from '../../../dev/icp-server/requests.js'
import { AgentError } from '../../errors.js'
import { aborted } from '../../lib/abort.js'
import { printable } from '../../observability/printable.js'
import { Disk } from '../../platform/disk.js'
import { holdLock } from '../../platform/file-lock.js'
import { SystemClock } from '../../platform/system-clock.js'
import { choice, duration, misused, type OptionValues, quoted, readArguments } from '../arguments.js'
import type { Command, CommandIo } from '../command.js'
import { writeServerFile } from '../dev-icp-server.js'
import { nextSteps, writeAgentFiles } from '../dev-icp-welcome.js'
import { namedFile } from '../named-file.js'

const OPTIONS = {
  listen: { type: 'string' },
  expose: { type: 'string' },
  data: { type: 'string' },
  generation: { type: 'string' },
  'tenant-id': { type: 'string' },
  'admin-token': { type: 'string' },
  'admin-token-file': { type: 'string' },
  limits: { type: 'string' },
  'agent-ttl': { type: 'string' },
  'svid-ttl': { type: 'string' },
  'workload-trust-domain': { type: 'string' },
  'jwt-kid': { type: 'string' },
  'basic-constraints': { type: 'boolean' },
  'issuer-cache': { type: 'string' },
  verbose: { type: 'boolean' },
} as const

const BANNER = 'This ICP server is for demos and tests only: it listens on loopback and attests every node that asks.\n'
const RULE = `${'*'.repeat(78)}\n`
const EXPOSED_BANNER = `${RULE}This ICP server is FOR TRIALS ONLY. It is exposed: everybody who reaches it can attest
as any node and get every registered identity. Never use it for anything real.
${RULE}`

const HOUR_MS = 3_600_000
const ISSUER_CACHE_MS = 300_000
const MAX_TOKEN_BYTES = 4096

export const devIcp: Command = {
  help: `Usage: icp-agent dev-icp --data DIR [OPTIONS]

Runs an ICP server with its own certificate authority on this machine, for demos and tests only. It listens on loopback
unless --expose is given. When it listens, it prints one line of JSON:
  {"event":"listening","address":"https://127.0.0.1:PORT/spiresvc","ca_path":"DIR/ca.pem","tenant_id":"UUID"}
These are icp_service.address, icp_service.trust_bundle_path and agent.tenant_id of an agent; DIR/agent.yaml is a
configuration with them. SIGINT and SIGTERM stop the server.

Options:
  --data DIR                    directory for keys, entries and tokens, which survive a restart
  --listen HOST:PORT            default 127.0.0.1:0, a free port
  --expose NAME                 let --listen be any IP address; NAME (DNS name or IP address) is added to the server's
                                certificate. Everybody who reaches the server gets identities
  --generation GENERATION       tenant (default; nodes attest without a token) or workspace (with a join token)
  --tenant-id UUID              the account; default: the one in DIR, else a new one
  --admin-token-file FILE       bearer token of the administrator's endpoints; also ICP_DEV_ADMIN_TOKEN, or
                                --admin-token TOKEN, which other users see in \`ps\`; default: a new one in
                                DIR/admin-token
  --limits MODE                 faithful (default: the rate limits of the real server) or off
  --agent-ttl DURATION          life of agent certificates, default 1h
  --svid-ttl DURATION           life of workload certificates whose entry has no ttl, default 1h
  --workload-trust-domain NAME  trust domain of workloads; default: the tenant id
  --jwt-kid MODE                off (default, as the real server) or on: put the key id (kid) into JWT-SVIDs
  --basic-constraints           issue with the BasicConstraints extension, which some clients require and the real
                                server omits until its PKI roles have basic_constraints_valid_for_non_ca
  --issuer-cache DURATION       workspace: how long the server accepts the previous CA after a change, default 5m
  --verbose                     log each request on stderr

Example:
  icp-agent dev-icp --data ./dev-icp --svid-ttl 1m &
  icp-agent dev-icp entry create /web unix:uid=1000
`,
  async run(args, io) {
    const { options } = readArguments(args, OPTIONS)
    const settings = await settingsOf(options, io)
    using _lock = await lockOn(settings)
    io.stderr.write(settings.expose === undefined ? BANNER : EXPOSED_BANNER)
    await using icp = await start(settings)
    await writeServerFile(settings.dataDir, {
      address: icp.localAddress,
      tenant_id: icp.tenantId,
      trust_domain: icp.workloadTrustDomain,
    })
    await writeAgentFiles(icp, settings.dataDir)
    io.stdout.write(`${JSON.stringify(listening(icp))}\n`)
    io.stderr.write(nextSteps(settings.dataDir, io.env))
    await aborted(io.signal)
    return 0
  },
}

async function settingsOf(options: OptionValues<typeof OPTIONS>, io: CommandIo): Promise<DevIcpOptions> {
  const files = new Disk()
  const { data, listen, expose, 'tenant-id': tenantId, 'workload-trust-domain': workloadTrustDomain } = options
  if (data === undefined) throw misused('--data DIR is needed: the directory that keeps keys, entries and tokens')
  const adminToken = await adminTokenOf(options, io)
  return {
    clock: new SystemClock(),
    files,
    dataDir: resolve(data),
    generation: choice(options.generation, ['tenant', 'workspace'], '--generation'),
    limits: choice(options.limits, ['faithful', 'off'], '--limits'),
    agentTtlSeconds: duration(options['agent-ttl'], HOUR_MS, '--agent-ttl') / 1000,
    svidTtlSeconds: duration(options['svid-ttl'], HOUR_MS, '--svid-ttl') / 1000,
    issuerCacheSeconds: duration(options['issuer-cache'], ISSUER_CACHE_MS, '--issuer-cache') / 1000,
    basicConstraints: options['basic-constraints'] ?? false,
    jwtKid: choice(options['jwt-kid'], ['off', 'on'], '--jwt-kid') === 'on',
    ...(listen === undefined ? {} : { listen }),
    ...(expose === undefined ? {} : { expose }),
    ...(tenantId === undefined ? {} : { tenantId }),
    ...(workloadTrustDomain === undefined ? {} : { workloadTrustDomain }),
    ...(adminToken === undefined ? {} : { adminToken }),
    ...(options.verbose ? { onRequest: (record: RequestRecord) => void io.stderr.write(`${lineOf(record)}\n`) } : {}),
  }
}

async function adminTokenOf(options: OptionValues<typeof OPTIONS>, io: CommandIo): Promise<string | undefined> {
  const { 'admin-token': token, 'admin-token-file': path } = options
  if (path === undefined) return token ?? (io.env['ICP_DEV_ADMIN_TOKEN'] || undefined)
  if (token !== undefined) throw misused('give --admin-token or --admin-token-file, not both')
  const content = (await namedFile(path, MAX_TOKEN_BYTES, '--admin-token-file')).toString('utf8').trim()
  if (content === '') throw misused(`--admin-token-file ${quoted(path)} is empty`)
  return content
}

/** Locks the directory, because two servers would overwrite each other's entries. */
async function lockOn({ dataDir, files }: DevIcpOptions): Promise<Disposable> {
  await files.makeDirectory(dataDir, 0o700)
  try {
    return holdLock(join(dataDir, 'lock'))
  } catch (error) {
    if (!(error instanceof AgentError) || error.code !== 'agent.already_running') throw error
    throw misused(`an embedded ICP server runs in ${quoted(dataDir)} already; stop it, or name another directory`)
  }
}

/** Problems of the settings are problems of the command line. */
async function start(settings: DevIcpOptions): Promise<DevIcp> {
  const { startDevIcp } = await import('../../../dev/icp-server/server.js')
  try {
    return await startDevIcp(settings)
  } catch (error) {
    throw error instanceof AgentError && error.code === 'config.invalid' ? misused(error.message) : error
  }
}

function listening(icp: DevIcp) {
  return { event: 'listening', address: icp.address, ca_path: icp.caPath, tenant_id: icp.tenantId }
}

function lineOf({ method, path, status, client, faults, reason }: RequestRecord): string {
  const notes = [client, reason, faults.length > 0 ? `faults: ${faults.join(', ')}` : null].filter(
    (note) => note !== null,
  )
  return printable(`${method} ${path} ${status ?? 'dropped'}${notes.map((note) => ` (${note})`).join('')}`)
}

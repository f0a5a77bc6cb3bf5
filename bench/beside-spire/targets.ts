import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { chmod, mkdir, open, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startServer, TENANT } from '../../test/support/agent.js'
import { freePort } from '../../test/support/free-port.js'
import type { Programs } from './build.js'

/** One program with a Workload API in the comparison. */
export interface Target extends AsyncDisposable {
  readonly name: string
  readonly socket: string
  readonly pid: number
  /** Registers a SPIFFE ID for the load generator; null: the target has no entries. */
  readonly register: ((id: string, selector: string) => Promise<void>) | null
  /** Makes the server publish one more authority; null: the target has no authorities. */
  readonly newAuthority: (() => Promise<void>) | null
  /** Stops the installation, calls `watch` and starts it again; resolves with the time of the start (wall clock, ms). */
  readonly restart: (watch: () => Promise<unknown>) => Promise<number>
  /** The only cases of a target without some part, which shows the cost of that part. */
  readonly only?: readonly string[]
}

const DOMAIN = 'bench.example'
/** Shows an upper bound of the cost of the health server and its metrics. */
export const WITHOUT_HEALTH = 'icp-agent, health off'

/** Our agent: the released single executable with its defaults, but without the rate limits of one user. */
export async function ours(
  directory: string,
  executable: string,
  options: { sha256?: boolean; withoutHealth?: true } = {},
): Promise<Target> {
  const server = await startServer(join(directory, 'icp'))
  const socket = join(directory, 'agent.sock.d', 'agent.sock')
  const config = join(directory, 'config.yaml')
  const settings = {
    agent: { tenant_id: TENANT, node_id: 'bench', data_dir: join(directory, 'data'), socket_path: socket },
    icp_service: { address: server.address, trust_bundle_path: server.caPath },
    attestation: { type: 'unix' },
    sync: { bundle_interval: '30s' },
    workload_api: { hold: '30s', limits: limitsLifted() },
    health: options.withoutHealth ? { enabled: false } : { port: await freePort(), bind_address: '127.0.0.1' },
  }
  await writeFile(config, JSON.stringify(settings))
  const start = () => run(executable, ['-c', config], join(directory, 'agent.log'))
  let child = await start()
  return {
    name: options.sha256 ? 'icp-agent, sha256' : options.withoutHealth ? WITHOUT_HEALTH : 'icp-agent',
    ...(options.withoutHealth ? { only: ['start', 'idle'] } : {}),
    socket,
    get pid() {
      return pidOf(child)
    },
    register: async (id, selector) => {
      const at = selector.indexOf(':', selector.indexOf(':') + 1)
      await server.createEntry({
        spiffeId: `spiffe://${TENANT}/${id}`,
        selectors: { [selector.slice(0, at)]: selector.slice(at + 1) },
      })
    },
    newAuthority: async () => {
      server.setFault({ kind: 'bundle-served' })
      await server.rotateCa()
    },
    restart: async (watch) => {
      await ended(child)
      const watched = watch()
      const began = Date.now()
      child = await start()
      await watched
      return began
    },
    [Symbol.asyncDispose]: async () => {
      await ended(child)
      await server[Symbol.asyncDispose]()
    },
  }
}

export async function spire(
  directory: string,
  programs: Programs,
  options: { keyType: 'rsa-2048' | 'ec-p256'; sha256?: boolean },
): Promise<Target> {
  const port = await freePort()
  const api = join(directory, 'server.sock')
  const socket = join(directory, 'agent.sock')
  await mkdir(join(directory, 'server'), { recursive: true })
  await mkdir(join(directory, 'data'), { recursive: true })
  await writeFile(
    join(directory, 'server.conf'),
    `server { bind_address = "127.0.0.1" bind_port = "${port}" socket_path = "${api}" trust_domain = "${DOMAIN}"
  data_dir = "${directory}/server" log_level = "WARN" ca_key_type = "${options.keyType}" jwt_key_type = "${options.keyType}"
  ca_ttl = "24h" default_x509_svid_ttl = "1h" }
plugins {
  DataStore "sql" { plugin_data { database_type = "sqlite3" connection_string = "${directory}/server/db.sqlite3" } }
  KeyManager "memory" { plugin_data {} }
  NodeAttestor "join_token" { plugin_data {} }
}
`.replaceAll('" ', '"\n  '),
  )
  const server = await run(
    programs.spireServer,
    ['run', '-config', join(directory, 'server.conf')],
    join(directory, 'server.log'),
  )
  // Asynchronous, because the embedded ICP server of another target runs in this process.
  const ask = async (...args: string[]) =>
    (await promisify(execFile)(programs.spireServer, [...args, '-socketPath', api])).stdout
  await until(() => ask('healthcheck'), server, join(directory, 'server.log'))
  const token = /Token: (\S+)/.exec(await ask('token', 'generate', '-spiffeID', `spiffe://${DOMAIN}/node`))?.[1]
  if (token === undefined) throw new Error('spire-server gave no join token')
  const config = join(directory, 'agent.conf')
  await writeFile(
    config,
    `agent {
  data_dir = "${directory}/data"
  log_level = "INFO"
  server_address = "127.0.0.1"
  server_port = "${port}"
  socket_path = "${socket}"
  trust_domain = "${DOMAIN}"
  insecure_bootstrap = true
  workload_x509_svid_key_type = "${options.keyType}"
}
health_checks {
  listener_enabled = true
  bind_address = "127.0.0.1"
  bind_port = "${await freePort()}"
}
telemetry {
  Prometheus {
    host = "127.0.0.1"
    port = ${await freePort()}
  }
}
plugins {
  KeyManager "disk" { plugin_data { directory = "${directory}/data" } }
  NodeAttestor "join_token" { plugin_data {} }
  WorkloadAttestor "unix" { plugin_data {
    discover_workload_path = true
    workload_size_limit = ${options.sha256 ? 0 : -1}
  } }
}
`,
  )
  const start = (args: readonly string[]) =>
    run(programs.spireAgent, ['run', '-config', config, ...args], join(directory, 'agent.log'))
  let child = await start(['-joinToken', token])
  return {
    name: `SPIRE ${options.keyType === 'ec-p256' ? 'EC' : 'RSA'}${options.sha256 ? ', sha256' : ''}`,
    socket,
    get pid() {
      return pidOf(child)
    },
    register: async (id, selector) => {
      await ask(
        'entry',
        'create',
        '-parentID',
        `spiffe://${DOMAIN}/node`,
        '-spiffeID',
        `spiffe://${DOMAIN}/${id}`,
        '-selector',
        selector,
      )
    },
    newAuthority: async () => {
      await ask('localauthority', 'x509', 'prepare')
    },
    restart: async (watch) => {
      await ended(child)
      const watched = watch()
      const began = Date.now()
      child = await start([])
      await watched
      return began
    },
    [Symbol.asyncDispose]: async () => {
      await ended(child)
      await ended(server)
    },
  }
}

/** A bare server: its arguments, and its socket. */
export async function floor(name: string, socket: string, program: string, args: readonly string[]): Promise<Target> {
  const start = () => run(program, args, `${socket}.log`)
  let child = await start()
  return {
    name,
    socket,
    get pid() {
      return pidOf(child)
    },
    register: null,
    newAuthority: null,
    restart: async (watch) => {
      await ended(child)
      await rm(socket, { force: true })
      const watched = watch()
      const began = Date.now()
      child = await start()
      await watched
      return began
    },
    [Symbol.asyncDispose]: () => ended(child),
  }
}

function limitsLifted(): Record<string, number> {
  const most = 1_000_000
  return {
    connection_burst: most,
    call_burst: most,
    connections: 20_000,
    connections_per_subject: 20_000,
    connections_per_pid: 20_000,
  }
}

const running = new Set<ChildProcess>()

/** Ends the started part of a target that failed to start. */
export async function endAll(): Promise<void> {
  await Promise.all([...running].map(ended))
}

async function run(program: string, args: readonly string[], log: string): Promise<ChildProcess> {
  const output = await open(log, 'a')
  try {
    const child = spawn(program, [...args], {
      stdio: ['pipe', output.fd, output.fd],
      env: { PATH: process.env['PATH'] ?? '' },
    })
    child.on('error', (error) => {
      throw error
    })
    running.add(child)
    child.once('exit', () => running.delete(child))
    return child
  } finally {
    await output.close()
  }
}

async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGTERM')
  const late = setTimeout(() => child.kill('SIGKILL'), 10_000)
  await gone
  clearTimeout(late)
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the process was not started')
  return child.pid
}

/** Throws with the last lines of its log if the program that is waited for has ended. */
async function until(works: () => Promise<unknown>, child: ChildProcess, log: string): Promise<void> {
  for (let left = 100; ; left--) {
    try {
      await works()
      return
    } catch (error) {
      if (child.exitCode !== null) throw new Error(readFileSync(log, 'utf8').slice(-500), { cause: error })
      if (left === 0) throw error
      await sleep(200)
    }
  }
}

/** Processor seconds that a process has used, and its resident memory in bytes. */
export function usageOf(pid: number): {
  readonly cpuSeconds: number
  readonly rssBytes: number
  readonly anonymousBytes: number
} {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? 0)
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / 100,
    rssBytes: kib('VmRSS') * 1024,
    anonymousBytes: kib('RssAnon') * 1024,
  }
}

export async function ownDirectory(path: string): Promise<string> {
  await mkdir(path, { recursive: true })
  await chmod(path, 0o755)
  return path
}

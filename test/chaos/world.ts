import { execFileSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Disk } from '../../agent/platform/disk.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import type { DevIcp } from '../../dev/icp-server/dev-icp.js'
import { startDevIcp } from '../../dev/icp-server/server.js'
import { AgentProcess } from './agent-process.js'
import { Ledger } from './ledger.js'
import { makePrograms, type Programs } from './programs.js'
import { WorkloadProcess } from './workload-process.js'

export const TENANT = '11111111-2222-4333-8444-555555555555'
const FIRST_UID = 20_000
/** One workload in so many fetches JWT-SVIDs. */
const JWT_EVERY = 3

export interface WorldOptions {
  readonly root: string
  /** Workload processes on the node that suffers, and on the one whose agent is left alone. */
  readonly workloads: number
  readonly steadyWorkloads: number
  /** Users, that is identities, of each node. */
  readonly users: number
  readonly svidTtlSeconds: number
  readonly syncMs: number
  readonly bundleMs: number
  /** How often a workload that uses JWT-SVIDs fetches one. */
  readonly jwtEveryMs: number
}

/** A machine with its agent, as far as a test can have several. */
export interface Node {
  readonly name: string
  readonly directory: string
  readonly dataDir: string
  readonly agent: AgentProcess
  readonly workloads: WorkloadProcess[]
  readonly uids: readonly (number | null)[]
  /** How far the node's clock is off the true one. */
  jump: number
  readonly startWorkload: (uid: number | null) => WorkloadProcess
}

/** The server, two nodes with their agents and workloads, and what time it is for whom. */
export class World implements AsyncDisposable {
  readonly ledger = new Ledger()
  readonly nodes: Node[] = []
  /** The data directories lie on a disk of their own, which can be filled. */
  ownDisk = false
  /** True time is the machine's plus this: a night that everybody slept through. */
  slept = 0
  #server: DevIcp | null = null
  #listen = '127.0.0.1:0'

  private constructor(
    readonly options: WorldOptions,
    readonly directory: string,
    private readonly programs: Programs,
  ) {}

  static async create(options: WorldOptions): Promise<World> {
    const directory = await mkdtemp(join(tmpdir(), 'icp-chaos-'))
    execFileSync('chmod', ['0755', directory])
    const world = new World(options, directory, await makePrograms(options.root, join(directory, 'programs')))
    world.#mountDisk()
    await world.startServer()
    const all = isRoot() ? Array.from({ length: options.users }, (_, i) => FIRST_UID + i) : [null]
    for (const uid of all) await world.createEntry(uid, 'base')
    await world.#makeNode('worn', options.workloads, all)
    await world.#makeNode('steady', options.steadyWorkloads, all)
    return world
  }

  get server(): DevIcp | null {
    return this.#server
  }

  async startServer(): Promise<void> {
    if (this.#server) return
    const { svidTtlSeconds } = this.options
    this.#server = await startDevIcp({
      clock: new SystemClock(() => Date.now() + this.slept),
      files: new Disk(),
      dataDir: join(this.directory, 'icp'),
      listen: this.#listen,
      tenantId: TENANT,
      limits: 'off',
      agentTtlSeconds: 600,
      svidTtlSeconds,
    })
    this.#listen = new URL(this.#server.address).host
  }

  async stopServer(): Promise<void> {
    const server = this.#server
    this.#server = null
    await server?.[Symbol.asyncDispose]()
  }

  /** Everybody's clock but the agents' timers moves on by so much, as after a suspend. */
  sleep(ms: number): void {
    this.slept += ms
    for (const node of this.nodes) this.clockChanged(node)
  }

  clockChanged(node: Node): void {
    node.agent.clockChanged()
    for (const workload of node.workloads) workload.clockChanged()
  }

  async createEntry(uid: number | null, name: string, more: Readonly<Record<string, string>> = {}): Promise<void> {
    const spiffeId = `${prefixOf(uid)}${name}`
    this.ledger.withdrawals.granted(spiffeId, Date.now())
    await this.#server?.createEntry({
      spiffeId,
      selectors: { 'unix:uid': String(uid ?? process.getuid?.()), ...more },
    })
  }

  /** From when it is gone, whoever still has the identity has it too long. */
  async deleteEntry({ id, spiffeId }: { readonly id: string; readonly spiffeId: string }): Promise<void> {
    if (!this.#server) return
    await this.#server.deleteEntry(id)
    this.ledger.withdrawals.withdrawn(spiffeId, Date.now())
  }

  /** Resolves when every workload has its identity: a bad day begins as every other. */
  async everybodyServed(limitMs: number): Promise<void> {
    const until = Date.now() + limitMs
    while (this.ledger.waiting > 0 && Date.now() < until) await sleep(50)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of this.nodes) {
      await Promise.all(node.workloads.map((workload) => workload.kill()))
      await node.agent.kill()
    }
    await this.stopServer()
    if (this.ownDisk) execFileSync('umount', ['-l', join(this.directory, 'disk')])
    await rm(this.directory, { recursive: true, force: true })
  }

  /** A small disk that can be filled; only root can have one. */
  #mountDisk(): void {
    if (!isRoot()) return
    try {
      const disk = join(this.directory, 'disk')
      execFileSync('mkdir', [disk])
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=8m,mode=0755', 'none', disk], { stdio: 'ignore' })
      this.ownDisk = true
    } catch (error) {
      if (!(error instanceof Error)) throw error
      this.ownDisk = false
    }
  }

  async #makeNode(name: string, workloads: number, uids: readonly (number | null)[]): Promise<void> {
    const directory = join(this.directory, name)
    const dataDir = this.ownDisk && name === 'worn' ? join(this.directory, 'disk', 'data') : join(directory, 'data')
    await mkdir(directory, { mode: 0o755 })
    const socketPath = join(directory, 'run', 'agent.sock')
    const configPath = join(directory, 'config.yaml')
    await writeFile(configPath, this.#config(name, dataDir, socketPath))
    const { programs, ledger } = this
    const clock: { node: Node | null } = { node: null }
    const offset = () => this.slept + (clock.node?.jump ?? 0)
    const logPath = join(this.directory, `${name}.log`)
    let started = 0
    const node: Node = {
      name,
      directory,
      dataDir,
      agent: new AgentProcess({ name, programs, configPath, logPath, ledger, offset }),
      workloads: [],
      uids,
      jump: 0,
      startWorkload: (uid) => {
        const number = ++started
        const jwtEveryMs = number % JWT_EVERY === 0 ? this.options.jwtEveryMs : 0
        const settings = { socketPath, ownPrefix: prefixOf(uid), needs: `${prefixOf(uid)}base`, jwtEveryMs }
        return new WorkloadProcess({ name: `${name}-${number}-${uid}`, programs, uid, settings, ledger, offset })
      },
    }
    clock.node = node
    node.agent.start()
    for (let i = 0; i < workloads; i++) node.workloads.push(node.startWorkload(uids[i % uids.length] ?? null))
    this.nodes.push(node)
  }

  #config(name: string, dataDir: string, socketPath: string): string {
    const { syncMs, bundleMs } = this.options
    return JSON.stringify({
      agent: { tenant_id: TENANT, node_id: name, data_dir: dataDir, socket_path: socketPath },
      icp_service: {
        address: this.#server?.address,
        trust_bundle_path: this.#server?.caPath,
        timeout: 5,
        max_retries: 1,
        retry_backoff: 1,
      },
      attestation: { type: 'unix' },
      sync: { interval: `${syncMs}ms`, max_interval: `${syncMs}ms`, bundle_interval: `${bundleMs}ms` },
      logging: { level: 'debug', format: 'json' },
      health: { enabled: false },
    })
  }
}

export function prefixOf(uid: number | null): string {
  return `spiffe://${TENANT}/user/${uid ?? 'own'}/`
}

function isRoot(): boolean {
  return process.geteuid?.() === 0
}

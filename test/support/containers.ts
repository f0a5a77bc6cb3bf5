import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { build } from 'esbuild'
import { type DockerEngine, nodeVolumes } from './docker-engine.js'

/** What a workload in a container wrote: identities that it was given, how its stream ended, why it tries again. */
export type Line =
  | { readonly svids: readonly string[] }
  | { readonly code: number; readonly details: string }
  | { readonly waits: number; readonly details: string }

export interface ContainerOptions {
  readonly name: string
  readonly image?: string
  readonly labels?: Readonly<Record<string, string>>
  /** Sent with its call. */
  readonly metadata?: Readonly<Record<string, string>>
  /** It calls on `go`, not at once. */
  readonly waits?: boolean
}

const WAIT_MS = 120_000

/** Workloads in containers that share a directory with the agent's socket. */
export class Containers {
  private constructor(
    private readonly engine: Pick<DockerEngine, 'dir' | 'docker'>,
    private readonly common: readonly string[],
    private readonly script: string,
    private readonly socketPath: string,
  ) {}

  /** `socketPath`: the agent's; its directory is mounted, read-only, as a compose file would. */
  static async prepare(engine: Pick<DockerEngine, 'dir' | 'docker'>, socketPath: string): Promise<Containers> {
    const script = join(engine.dir, 'workload.cjs')
    await build({
      entryPoints: [join(import.meta.dirname, 'container-workload.ts')],
      outfile: script,
      bundle: true,
      platform: 'node',
      format: 'cjs',
      target: 'node20.19',
      logLevel: 'error',
    })
    const volume = (from: string, to: string) => ['--volume', `${from}:${to}:ro`]
    const common = [
      ...['--network', 'none', ...(await nodeVolumes())],
      ...volume(script, '/workload.cjs'),
      ...volume(dirname(socketPath), '/run/spire/sockets'),
    ]
    return new Containers(engine, common, script, socketPath)
  }

  /** Makes a container without starting it. */
  async create(options: ContainerOptions): Promise<ContainerWorkload> {
    const { name, image = 'workload:1', labels = {}, metadata = {}, waits = false } = options
    const out = this.#out(name)
    const id = await this.engine.docker(
      ...['create', '--name', name, ...this.common, '--volume', `${out}:/out`],
      ...['--env', `METADATA=${JSON.stringify(metadata)}`, '--env', `WAITS=${waits ? 'yes' : ''}`],
      ...Object.entries(labels).flatMap(([key, value]) => ['--label', `${key}=${value}`]),
      ...[image, '/node', '/workload.cjs'],
    )
    return new ContainerWorkload(this.engine, id, name, out)
  }

  async run(options: ContainerOptions): Promise<ContainerWorkload> {
    const workload = await this.create(options)
    await workload.start()
    return workload
  }

  /** The same program as a process of the host, which waits for `go` before it calls. */
  onHost(name: string): WorkloadOutput & { readonly process: ChildProcess } {
    const out = this.#out(name)
    const env = { ...process.env, SOCKET: this.socketPath, OUT: out, WAITS: 'yes' }
    const child = spawn(process.execPath, [this.script], { env, stdio: 'ignore' })
    return Object.assign(new WorkloadOutput(name, out), { process: child })
  }

  #out(name: string): string {
    const out = join(this.engine.dir, 'out', name)
    mkdirSync(out, { recursive: true })
    return out
  }
}

/** What a workload writes, and the word that it waits for. */
export class WorkloadOutput {
  constructor(
    readonly name: string,
    private readonly out: string,
  ) {}

  go(): void {
    writeFileSync(join(this.out, 'go'), '')
  }

  /** All that it wrote so far. */
  get lines(): readonly Line[] {
    try {
      const whole = readFileSync(join(this.out, 'lines'), 'utf8').split('\n').slice(0, -1)
      return whole.map((line) => JSON.parse(line) as Line)
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return []
      throw error
    }
  }

  /** The first line, past or to come, that is as wished; throws what it wrote when none comes within two minutes. */
  async line(wish: (line: Line) => boolean): Promise<Line> {
    for (const end = Date.now() + WAIT_MS; Date.now() < end; await sleep(20)) {
      const found = this.lines.find(wish)
      if (found) return found
    }
    throw new Error(`${this.name} wrote only (the last three) ${JSON.stringify(this.lines.slice(-3))}`)
  }

  /** The identities of its first message. */
  async identities(): Promise<readonly string[]> {
    const line = await this.line((written) => !('waits' in written))
    if ('svids' in line) return line.svids
    throw new Error(`${this.name} was refused: ${line.details}`)
  }
}

export class ContainerWorkload extends WorkloadOutput {
  constructor(
    private readonly engine: Pick<DockerEngine, 'docker'>,
    readonly id: string,
    name: string,
    out: string,
  ) {
    super(name, out)
  }

  async start(): Promise<void> {
    await this.engine.docker('start', this.id)
  }

  async pid(): Promise<number> {
    return Number(await this.engine.docker('inspect', '--format', '{{.State.Pid}}', this.id))
  }
}

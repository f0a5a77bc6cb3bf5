import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { accessSync, constants, openSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'

const run = promisify(execFile)
const START_TIMEOUT_MS = 60_000
const STOP_TIMEOUT_MS = 30_000

/** A Docker Engine of the test's own: data, socket and containers in a directory that goes with it. */
export interface DockerEngine extends AsyncDisposable {
  /** What is put here can be mounted into containers; removed at the end. */
  readonly dir: string
  readonly socketPath: string
  /** What the tests' agent writes as `attestation.docker.socket_path`. */
  readonly settings: Readonly<Record<string, string>>
  /** Runs the command line of Docker against this engine and gives what it prints. */
  docker(...args: string[]): Promise<string>
  /**
   * Makes an image of these files; programs come by volumes (`nodeVolumes`), so it may be next to empty. `labels`: those
   * that it is built with.
   */
  makeImage(
    name: string,
    files?: Readonly<Record<string, string>>,
    labels?: Readonly<Record<string, string>>,
  ): Promise<void>
  /** Stops the engine alone: containers live on (live-restore). */
  stop(): Promise<void>
  /** Starts it again. */
  start(): Promise<void>
}

/** Why containers cannot be run here, or null: tried once, with an engine that is gone afterwards. */
export async function dockerUnavailable(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux'
  const missing = ['dockerd', 'containerd', 'runc', 'docker', 'tar'].filter((program) => pathOf(program) === null)
  if (missing.length > 0) return `${missing.join(', ')} missing: apt-get install docker.io containerd runc`
  return await unlessItRuns(startDockerEngine)
}

/** Arguments of `docker import` that give an image labels. */
export function labelChanges(labels: Readonly<Record<string, string>>): readonly string[] {
  return Object.entries(labels).flatMap(([key, value]) => ['--change', `LABEL ${key}=${value}`])
}

/** Why a first container does not run, or null. */
export async function unlessItRuns(
  start: () => Promise<Pick<DockerEngine, 'docker' | 'makeImage' | typeof Symbol.asyncDispose>>,
): Promise<string | null> {
  try {
    await using engine = await start()
    await engine.makeImage('probe:1')
    const args = ['run', '--rm', '--network', 'none', ...(await nodeVolumes()), 'probe:1', '/node', '--version']
    const version = await engine.docker(...args)
    return version === process.version ? null : `a container prints ${version}`
  } catch (error) {
    return error instanceof Error ? error.message.trim() : String(error)
  }
}

/** Volumes with which this Node runs in any container, as `/node`: arguments of `docker run`. */
export async function nodeVolumes(): Promise<readonly string[]> {
  const { stdout } = await run('ldd', [process.execPath])
  const libraries = [...stdout.matchAll(/(?:=> )?(\/\S+) \(0x/g)].map(([, path]) => path ?? '')
  return [[process.execPath, '/node'], ...libraries.map((path) => [path, path])].flatMap(([from, to]) => [
    '--volume',
    `${from}:${to}:ro`,
  ])
}

/** `live`: containers survive a stop of the engine; default true. */
export async function startDockerEngine({ live = true }: { readonly live?: boolean } = {}): Promise<DockerEngine> {
  const engine = new Engine(await mkdtemp(join(tmpdir(), 'docker-')), live)
  try {
    await engine.start()
  } catch (error) {
    await engine[Symbol.asyncDispose]()
    throw error
  }
  return engine
}

class Engine implements DockerEngine {
  readonly socketPath: string
  readonly settings: Readonly<Record<string, string>>
  #daemon: ChildProcess | null = null
  readonly #killAtExit = () => void this.#daemon?.kill('SIGKILL')

  constructor(
    readonly dir: string,
    private readonly live: boolean,
  ) {
    this.socketPath = join(dir, 'docker.sock')
    this.settings = { ATTESTATION__DOCKER__SOCKET_PATH: this.socketPath }
    process.once('exit', this.#killAtExit)
  }

  async docker(...args: string[]): Promise<string> {
    const env = { ...process.env, DOCKER_HOST: `unix://${this.socketPath}`, DOCKER_CONFIG: join(this.dir, 'client') }
    const { stdout, stderr } = await run('docker', args, { env, maxBuffer: 64 * 1024 * 1024 })
    return (args[0] === 'logs' ? stdout + stderr : stdout).trim()
  }

  async makeImage(
    name: string,
    files: Readonly<Record<string, string>> = { 'etc/image': name },
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const root = join(this.dir, `image-${name.replaceAll(/\W/g, '-')}`)
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true })
      await writeFile(join(root, path), content)
    }
    const archive = `${root}.tar`
    await run('tar', ['-C', root, '-cf', archive, '.'])
    await this.docker('import', ...labelChanges(labels), archive, name)
  }

  async start(): Promise<void> {
    const log = openSync(join(this.dir, 'dockerd.log'), 'a')
    const at = (name: string) => join(this.dir, name)
    // Of its own too: the machine's may say anything.
    await writeFile(at('daemon.json'), '{}')
    const network = ['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false', '--ip-masq=false']
    this.#daemon = spawn(
      pathOf('dockerd') ?? 'dockerd',
      [
        ...['--host', `unix://${this.socketPath}`, '--data-root', at('data'), '--exec-root', at('exec')],
        ...['--pidfile', at('dockerd.pid'), '--config-file', at('daemon.json'), '--shutdown-timeout', '5'],
        ...network,
        ...(this.live ? ['--live-restore'] : []),
      ],
      { stdio: ['ignore', log, log], env: { ...process.env, PATH: searchPath() } },
    )
    await this.#ready()
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon
    if (!daemon || daemon.exitCode !== null) return
    const gone = new Promise<void>((resolve) => daemon.once('exit', () => resolve()))
    daemon.kill('SIGTERM')
    const timer = setTimeout(() => daemon.kill('SIGKILL'), STOP_TIMEOUT_MS)
    await gone
    clearTimeout(timer)
    this.#daemon = null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#daemon) {
      const ids = (await this.docker('ps', '--all', '--quiet').catch(() => '')).split('\n').filter(Boolean)
      if (ids.length > 0) await this.docker('rm', '--force', ...ids).catch(() => '')
    }
    await this.stop()
    process.removeListener('exit', this.#killAtExit)
    for (const mount of mountsBelow(this.dir)) await run('umount', ['--lazy', mount]).catch(() => undefined)
    await rm(this.dir, { recursive: true, force: true })
  }

  async #ready(): Promise<void> {
    const end = Date.now() + START_TIMEOUT_MS
    while (Date.now() < end) {
      if (this.#daemon?.exitCode !== null) break
      if (await answers(this.socketPath)) return
      await sleep(50)
    }
    const log = readFileSync(join(this.dir, 'dockerd.log'), 'utf8').split('\n').slice(-20).join('\n')
    throw new Error(`dockerd does not start:\n${log}`)
  }
}

function answers(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping', timeout: 1000 }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode === 200))
    })
    ping.on('timeout', () => ping.destroy())
    ping.on('error', () => resolve(false))
    ping.end()
  })
}

export function searchPath(): string {
  return [process.env['PATH'] ?? '', '/usr/local/sbin', '/usr/sbin', '/sbin'].join(delimiter)
}

export function pathOf(program: string): string | null {
  for (const directory of searchPath().split(delimiter)) {
    const path = join(directory, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // The next directory of the path.
    }
  }
  return null
}

/** Innermost first. */
export function mountsBelow(dir: string): readonly string[] {
  const points = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
  return points.filter((point) => point.startsWith(`${dir}/`)).reverse()
}

import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { existsSync, openSync, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type DockerEngine, labelChanges, mountsBelow, pathOf, searchPath, unlessItRuns } from './docker-engine.js'

const run = promisify(execFile)
const START_TIMEOUT_MS = 30_000

/** Podman with storage, service and socket of the test's own. It has no daemon: containers live without the service. */
export interface PodmanEngine extends Omit<DockerEngine, 'start' | 'stop'> {
  stopService(): Promise<void>
}

/** Why containers of podman cannot be run here, or null: tried once. */
export async function podmanUnavailable(): Promise<string | null> {
  if (process.platform !== 'linux' || process.getuid?.() !== 0) return 'it takes root on Linux'
  const missing = ['podman', 'conmon', 'runc', 'tar'].filter((program) => pathOf(program) === null)
  if (missing.length > 0) return `${missing.join(', ')} missing: apt-get install podman runc`
  return await unlessItRuns(startPodman)
}

export async function startPodman(): Promise<PodmanEngine> {
  const podman = new Podman(await mkdtemp(join(tmpdir(), 'podman-')))
  try {
    await podman.start()
  } catch (error) {
    await podman[Symbol.asyncDispose]()
    throw error
  }
  return podman
}

class Podman implements PodmanEngine {
  readonly socketPath: string
  readonly settings: Readonly<Record<string, string>>
  #service: ChildProcess | null = null
  readonly #killAtExit = () => void this.#service?.kill('SIGKILL')

  constructor(readonly dir: string) {
    this.socketPath = join(dir, 'podman.sock')
    this.settings = { ATTESTATION__DOCKER__SOCKET_PATH: this.socketPath }
    process.once('exit', this.#killAtExit)
  }

  async docker(...args: string[]): Promise<string> {
    const { stdout } = await run('podman', [...this.#where(), ...args], { env: this.#env() })
    return stdout.trim()
  }

  async makeImage(
    name: string,
    files: Readonly<Record<string, string>> = { 'etc/image': name },
    labels: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const root = join(this.dir, 'image')
    for (const [path, content] of Object.entries(files)) {
      await mkdir(join(root, path, '..'), { recursive: true })
      await writeFile(join(root, path), content)
    }
    await run('tar', ['-C', root, '-cf', `${root}.tar`, '.'])
    await this.docker('import', ...labelChanges(labels), `${root}.tar`, name)
  }

  async start(): Promise<void> {
    // Where systemd manages nothing, and with limits that a container within limits may have.
    const settings = [
      '[engine]\ncgroup_manager = "cgroupfs"\nruntime = "runc"\nevents_logger = "file"',
      '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]',
    ]
    await writeFile(join(this.dir, 'containers.conf'), `${settings.join('\n')}\n`)
    const log = openSync(join(this.dir, 'podman.log'), 'a')
    const args = [...this.#where(), 'system', 'service', '--time', '0', `unix://${this.socketPath}`]
    this.#service = spawn(pathOf('podman') ?? 'podman', args, { stdio: ['ignore', log, log], env: this.#env() })
    const end = Date.now() + START_TIMEOUT_MS
    while (!existsSync(this.socketPath)) {
      if (Date.now() > end || this.#service.exitCode !== null) {
        throw new Error(`podman does not start:\n${readFileSync(join(this.dir, 'podman.log'), 'utf8')}`)
      }
      await sleep(50)
    }
  }

  async stopService(): Promise<void> {
    const service = this.#service
    if (!service || service.exitCode !== null || service.signalCode !== null) return
    const gone = new Promise<void>((resolve) => service.once('exit', () => resolve()))
    service.kill('SIGKILL')
    await gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.docker('rm', '--force', '--all', '--time', '0').catch(() => '')
    await this.stopService()
    process.removeListener('exit', this.#killAtExit)
    for (const mount of mountsBelow(this.dir)) await run('umount', ['--lazy', mount]).catch(() => undefined)
    await rm(this.dir, { recursive: true, force: true })
  }

  #where(): readonly string[] {
    const storage = ['--root', join(this.dir, 'root'), '--runroot', join(this.dir, 'run'), '--storage-driver', 'vfs']
    return [...storage, '--tmpdir', join(this.dir, 'tmp'), '--cgroup-manager', 'cgroupfs', '--runtime', 'runc']
  }

  #env(): NodeJS.ProcessEnv {
    return { ...process.env, PATH: searchPath(), CONTAINERS_CONF: join(this.dir, 'containers.conf') }
  }
}

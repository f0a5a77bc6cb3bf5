import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { groupsOf } from './cgroups.js'

const BASE = join('node_modules', '.cache', 'icp-vm', 'bookworm-3')
const PACKAGES = 'systemd,systemd-sysv,dbus,procps,ca-certificates,curl,passwd,libatomic1,rpm'
const BOOT_SECONDS = 60

export interface Ended {
  readonly status: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly uid?: number
  readonly env?: Readonly<Record<string, string>>
  readonly input?: string
}

/** Why no machine can be booted here, or null. */
export function vmObstacle(): string | null {
  if (process.getuid?.() !== 0) return 'it takes root'
  for (const tool of ['systemd-nspawn', 'debootstrap', 'nsenter', 'setpriv']) {
    if (spawnSync(tool, ['--version']).error) return `${tool} is not installed`
  }
  return null
}

/** A Debian that boots real systemd in a container of its own: its own network, processes and files. */
export class VmMachine implements AsyncDisposable {
  /** Its file system, seen from here. */
  readonly root: string
  readonly #name = `icp-${randomBytes(4).toString('hex')}`
  /** Control groups of its own, or two machines at a time would take each other's units for theirs. */
  readonly #groups: readonly string[] = trackingGroups().map((group) => join(group, this.#name))
  #nspawn: ChildProcess | null = null
  #init = 0

  private constructor() {
    this.root = join(mkdtempSync(join(tmpdir(), 'icp-vm-')), 'root')
    execFileSync('cp', ['-a', base(), this.root])
  }

  static async start(): Promise<VmMachine> {
    const machine = new VmMachine()
    try {
      await machine.#boot()
      return machine
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Runs a program in the machine to its end. */
  run(command: readonly string[], options: RunOptions = {}): Ended {
    const [program = '', ...args] = this.#entering(command, options)
    const { status, stdout, stderr, error } = spawnSync(program, args, {
      encoding: 'utf8',
      input: options.input ?? '',
      maxBuffer: 64 * 1024 * 1024,
      timeout: 180_000,
    })
    if (error) throw error
    return { status, stdout, stderr }
  }

  /** As `run`, for what must work: its stdout. */
  must(command: readonly string[], options: RunOptions = {}): string {
    const { status, stdout, stderr } = this.run(command, options)
    if (status !== 0) throw new Error(`${command.join(' ')} ended with ${status}\n${stdout}${stderr}`)
    return stdout
  }

  /** A program that goes on running, in a process group of its own; it dies with the machine. */
  spawn(command: readonly string[], options: RunOptions = {}): ChildProcess {
    const [program = '', ...args] = this.#entering(command, options)
    return spawn(program, args, { stdio: ['pipe', 'pipe', 'pipe'], detached: true })
  }

  /** Kills what `spawn` started and all that it started in turn: nsenter would wait for its child. */
  async end(child: ChildProcess): Promise<void> {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = once(child, 'exit')
    process.kill(-child.pid, 'SIGKILL')
    await ended
  }

  /** A program of the machine that this runs on, in the other's network. */
  spawnBeside(command: readonly string[]): ChildProcess {
    return spawn('nsenter', [`--target=${this.#init}`, '--net', '--', ...command], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
  }

  async reboot(): Promise<void> {
    this.run(['systemctl', 'reboot'])
    await this.#ended(BOOT_SECONDS)
    await this.#boot()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#nspawn?.exitCode === null) {
      // A machine outlives the nspawn that is killed; with its first process all of it ends.
      spawnSync('kill', ['-KILL', String(this.#init || this.#nspawn.pid)])
      await this.#ended(10)
    }
    for (const group of this.#groups) await removeGroup(group)
    rmSync(join(this.root, '..'), { recursive: true, force: true })
  }

  #entering(command: readonly string[], { uid, env = {} }: RunOptions): string[] {
    const user = uid === undefined ? [] : ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups']
    const variables = Object.entries({ PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8', ...env })
    return [
      ...['nsenter', `--target=${this.#init}`, '--mount', '--uts', '--ipc', '--net', '--pid', '--root', '--wd'],
      ...['--', ...user, 'env', '-i', ...variables.map(([key, value]) => `${key}=${value}`), ...command],
    ]
  }

  async #boot(): Promise<void> {
    // It ends with the tests, however those end: nspawn lets the machine power off.
    const leash = ['--pdeathsig', 'TERM', '--', 'systemd-nspawn', '--register=no', '--keep-unit', '--private-network']
    const place = ['--resolv-conf=off', '--timezone=off', `--machine=${this.#name}`, `--directory=${this.root}`]
    const enter = 'for group in $GROUPS_OF_ITS_OWN; do mkdir -p $group; echo $$ >$group/cgroup.procs; done; exec "$@"'
    const nspawn = spawn('sh', ['-ec', enter, '-', 'setpriv', ...leash, '--quiet', ...place, '--boot'], {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: { PATH: process.env['PATH'], GROUPS_OF_ITS_OWN: this.#groups.join(' ') },
    })
    this.#nspawn = nspawn
    this.#init = 0
    for (let waited = 0; waited < BOOT_SECONDS * 4; waited++) {
      await sleep(250)
      if (nspawn.exitCode !== null) throw new Error(`systemd-nspawn ended with ${nspawn.exitCode}`)
      this.#init = Number(readFileSync(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`, 'utf8').split(' ')[0])
      if (this.#init === 0) continue
      const { stdout } = this.run(['systemctl', 'is-system-running'])
      if (/running|degraded/.test(stdout)) return
    }
    throw new Error('the machine does not boot')
  }

  async #ended(seconds: number): Promise<void> {
    for (let waited = 0; waited < seconds * 10; waited++) {
      if (this.#nspawn === null || this.#nspawn.exitCode !== null || this.#nspawn.signalCode !== null) return
      await sleep(100)
    }
    throw new Error('the machine does not end')
  }
}

/** An embedded ICP server as a unit of the machine, so that it is there after a reboot. */
export function devIcpUnit(data: string, args: string): string {
  const server = `/opt/icp dev-icp --data ${data} --limits off ${args}`
  return `[Service]\nExecStart=${server}\n[Install]\nWantedBy=multi-user.target\n`
}

/** Our groups in the hierarchies by which systemd knows processes: that of cgroup v2, and its own beside those of v1. */
function trackingGroups(): readonly string[] {
  const groups = groupsOf('self')
  const tracking = groups.filter((group) => /^\/sys\/fs\/cgroup\/(?:systemd|unified)\//.test(`${group}/`))
  return tracking.length > 0 ? tracking : groups
}

/** With everything below; processes that were killed are in their groups for a moment longer. */
async function removeGroup(group: string): Promise<void> {
  if (!existsSync(group)) return
  for (const { name } of readdirSync(group, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
    await removeGroup(join(group, name))
  }
  for (let tries = 0; ; tries++) {
    try {
      rmdirSync(group)
      return
    } catch (error) {
      if (tries === 100) throw error
      await sleep(20)
    }
  }
}

/** A minimal Debian with systemd, made once. */
function base(): string {
  if (existsSync(BASE)) return BASE
  mkdirSync(join(BASE, '..'), { recursive: true })
  const work = mkdtempSync(join(BASE, '..', '.work-'))
  try {
    const mirror = process.env['ICP_TEST_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
    const args = ['--variant=minbase', `--include=${PACKAGES}`, 'bookworm', join(work, 'root'), mirror]
    execFileSync('debootstrap', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    rmSync(join(work, 'root/etc/machine-id'), { force: true })
    rmSync(join(work, 'root/var/cache/apt/archives'), { recursive: true, force: true })
    renameSync(join(work, 'root'), BASE)
    return BASE
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

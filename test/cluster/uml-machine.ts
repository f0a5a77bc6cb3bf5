import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { until } from '../support/until.js'
import type { Daemon, NodeHost } from './node-host.js'

const HERE = import.meta.dirname
const PACKAGES =
  'systemd,systemd-sysv,dbus,udev,procps,ca-certificates,iproute2,iptables,conntrack,kmod,runc,libatomic1,libstdc++6'
const MODULES = '/usr/lib/uml/modules'
/** Units of Debian that have nothing to do in a node without a keyboard and a network of the machine's. */
const MASKED = [
  ...[
    'apt-daily.timer',
    'apt-daily-upgrade.timer',
    'dpkg-db-backup.timer',
    'fstrim.timer',
    'e2scrub_all.timer',
    'e2scrub_reap.service',
  ],
  ...['getty@tty1.service', 'serial-getty@ttyS0.service', 'systemd-networkd.service', 'systemd-firstboot.service'],
]
const NEEDED = ['debootstrap', 'linux.uml', 'mke2fs', 'setpriv', 'unshare']

/** Why no machine of its own can be run here; null where it can. */
export function umlUnavailable(): string | null {
  const missing = NEEDED.filter((program) => spawnSync('which', [program]).status !== 0)
  return missing.length > 0 ? `missing: ${missing.join(', ')}` : null
}

/**
 * A node with a kernel of its own: Debian with systemd under user-mode Linux, which needs no virtualization of the processor.
 * Control groups are of version 2. The node sees the temporary folder and the repository of this machine at their paths.
 */
export class UmlMachine implements NodeHost {
  readonly stateDir = '/var/lib/node'
  readonly cgroupDriver = 'systemd'
  #kernel: ChildProcess | null = null
  #line: Duplex | null = null
  readonly #waiting = new Map<string, (status: number | null) => void>()
  #commands = 0

  private constructor(readonly dir: string) {}

  static async make(): Promise<UmlMachine> {
    removeLeftovers()
    const machine = new UmlMachine(await mkdtemp(join(tmpdir(), `icp-uml-${process.pid}-`)))
    try {
      await machine.#boot()
      return machine
    } catch (error) {
      await machine[Symbol.asyncDispose]()
      throw error
    }
  }

  async run(program: string, ...args: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await this.#execute(`exec ${[program, ...args].map(quoted).join(' ')}`)
    if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${status}: ${stdout}${stderr}`)
    return stdout
  }

  async start(name: string, program: string, args: readonly string[], path = ''): Promise<Daemon> {
    mkdirSync(join(this.dir, 'logs'), { recursive: true })
    const log = join(this.dir, 'logs', `${name}.log`)
    const properties = [
      ...[`StandardOutput=append:${log}`, `StandardError=append:${log}`],
      // As the units of containerd and kubelet have it: containers outlive them.
      ...['Delegate=yes', 'KillMode=process', `Environment=PATH=${path}:/usr/sbin:/usr/bin:/sbin:/bin`],
    ].map((property) => `--property=${property}`)
    const unit = `${name}.service`
    await this.run('systemd-run', '--quiet', '--collect', `--unit=${unit}`, ...properties, program, ...args)
    return {
      name,
      kill: async () => {
        await this.run('systemctl', 'kill', '--kill-whom=main', '--signal=KILL', unit)
        const active = () => this.run('systemctl', 'show', '--property=ActiveState', '--value', unit)
        await until(async () => /inactive|failed/.test(await active()), { what: `${name} has ended` })
      },
    }
  }

  async killContainer(id: string): Promise<void> {
    const find = `find /sys/fs/cgroup/kubepods.slice -name 'cri-containerd-${id}.scope'`
    await this.run('sh', '-c', `kill -KILL $(cat "$(${find})/cgroup.procs")`)
  }

  /** In order, as `systemctl reboot` does it; nothing is started but the system itself. */
  async reboot(): Promise<void> {
    const ended = this.#ended()
    // The first processes of containers ignore SIGTERM: units that are stopped are killed sooner than after 90 s.
    await this.run(
      'sh',
      '-c',
      'mkdir -p /run/systemd/system.conf.d && printf "[Manager]\\nDefaultTimeoutStopSec=10s\\n" >/run/systemd/system.conf.d/stop.conf && systemctl daemon-reload',
    )
    // The machine may end before it has said so.
    this.run('systemctl', '--no-block', 'poweroff').catch(() => undefined)
    await ended
    await this.#boot()
  }

  /** As when the power fails. */
  async crash(): Promise<void> {
    await this.#kill()
    await this.#boot()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#kill()
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
  }

  async #execute(command: string): Promise<{ status: number; stdout: string; stderr: string }> {
    this.#commands += 1
    const id = `${this.#commands}`
    const at = (suffix: string) => join(this.dir, 'channel', `${id}.${suffix}`)
    writeFileSync(at('sh'), `cd ${quoted(process.cwd())}\n${command}\n`)
    const status = await new Promise<number | null>((resolve) => {
      this.#waiting.set(id, resolve)
      this.#line?.write(`${id}\n`)
    })
    if (status === null) throw new Error(`the machine ended before ${command}`)
    const ended = { status, stdout: readFileSync(at('out'), 'utf8'), stderr: readFileSync(at('err'), 'utf8') }
    for (const suffix of ['sh', 'out', 'err']) rmSync(at(suffix))
    return ended
  }

  async #boot(): Promise<void> {
    for (const script of ['uml-boot.sh', 'node-network.sh']) cpSync(join(HERE, script), join(this.dir, script))
    mkdirSync(join(this.dir, 'channel'), { recursive: true })
    const console = openSync(join(this.dir, 'console.log'), 'a')
    const folders = [tmpdir(), process.cwd()].filter((path, at) => at === 0 || !path.startsWith(`${tmpdir()}/`))
    // What is written to the base is kept in a file of this machine's own.
    const kernel = [
      ...[`ubd0=${join(this.dir, 'disk.cow')},${base()}`, 'root=/dev/ubda', 'rw', 'mem=5G', 'quiet'],
      ...['con0=null,fd:1', 'con=null', 'ssl0=fd:3', `uml_dir=${this.dir}`, `umid=node-${process.pid}`],
      ...['systemd.show_status=false', `icp.dir=${this.dir}`, `icp.folders=${folders.join(':')}`],
    ]
    // It ends with the tests, however those end, and all of its processes with it.
    const leash = ['--pdeathsig', 'KILL', 'unshare', '--pid', '--fork', '--kill-child', '--mount-proc']
    // All files that it makes here belong to root: a pod of another user could not write to its own again.
    const free = ['sh', '-c', 'umask 0; exec "$@"', '-']
    const child = spawn('setpriv', [...leash, ...free, 'linux.uml', ...kernel], {
      stdio: ['ignore', console, console, 'pipe'],
    })
    child.once('exit', () => {
      for (const resolve of this.#waiting.values()) resolve(null)
      this.#waiting.clear()
    })
    this.#kernel = child
    this.#line = child.stdio[3] as Duplex
    let ready = false
    createInterface(this.#line).on('line', (text) => {
      const [id = '', status] = text.trim().split(' ')
      if (id === 'ready') ready = true
      this.#waiting.get(id)?.(Number(status))
      this.#waiting.delete(id)
    })
    this.#line.on('error', () => undefined)
    await until(() => ready || child.exitCode !== null, { what: 'the machine has booted' })
    if (!ready) throw new Error(`the machine ended:\n${readFileSync(join(this.dir, 'console.log'), 'utf8')}`)
  }

  #ended(): Promise<void> {
    const child = this.#kernel
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
    return new Promise((resolve) => child.once('exit', () => resolve()))
  }

  async #kill(): Promise<void> {
    const ended = this.#ended()
    this.#kernel?.kill('SIGKILL')
    await ended
    this.#kernel = null
  }
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

/** What runs left that were killed themselves. */
function removeLeftovers(): void {
  for (const name of readdirSync(tmpdir())) {
    const pid = /^icp-uml-(\d+)-/.exec(name)?.[1]
    if (pid && !existsSync(`/proc/${pid}`)) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  }
}

/** The disk of a Debian with systemd, made once. */
function base(): string {
  const [version = ''] = readdirSync(MODULES)
  const path = join(tmpdir(), `icp-agent-uml-${version}`, 'disk')
  if (existsSync(path)) return path
  mkdirSync(join(path, '..'), { recursive: true, mode: 0o700 })
  const work = mkdtempSync(join(path, '..', 'work-'))
  const root = join(work, 'root')
  try {
    const mirror = process.env['ICP_TEST_DEBIAN_MIRROR'] ?? 'http://deb.debian.org/debian'
    const args = ['--variant=minbase', `--include=${PACKAGES}`, 'bookworm', root, mirror]
    execFileSync('debootstrap', args, { stdio: ['ignore', 'ignore', 'inherit'] })
    for (const program of ['iptables', 'ip6tables']) {
      execFileSync('chroot', [root, 'update-alternatives', '--set', program, `/usr/sbin/${program}-legacy`])
    }
    cpSync(join(MODULES, version), join(root, 'lib/modules', version), { recursive: true })
    writeFileSync(join(root, 'etc/machine-id'), 'uninitialized\n')
    const units = join(root, 'etc/systemd/system')
    for (const unit of MASKED) symlinkSync('/dev/null', join(units, unit))
    writeFileSync(join(units, 'node.service'), NODE_UNIT)
    writeFileSync(join(root, 'usr/local/sbin/node-start'), NODE_START)
    mkdirSync(join(units, 'multi-user.target.wants'), { recursive: true })
    symlinkSync('../node.service', join(units, 'multi-user.target.wants/node.service'))
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-d', root, join(work, 'disk'), '12G'])
    renameSync(join(work, 'disk'), path)
    return path
  } finally {
    rmSync(work, { recursive: true, force: true })
  }
}

const NODE_UNIT = `[Unit]
After=basic.target
[Service]
ExecStart=/bin/bash /usr/local/sbin/node-start
KillMode=process
TasksMax=infinity
StandardError=journal+console
[Install]
WantedBy=multi-user.target
`

/** Mounts the folders that the command line of the kernel names, and goes on as uml-boot.sh. */
const NODE_START = `set -eu
value() { tr ' ' '\\n' </proc/cmdline | sed -n "s/^icp[.]$1=//p"; }
value folders | tr : '\\n' | while read -r path; do
  mkdir -p "$path"
  mount -t hostfs -o "$path" none "$path"
done
exec bash "$(value dir)/uml-boot.sh" "$(value dir)"
`

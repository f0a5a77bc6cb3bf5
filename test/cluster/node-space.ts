import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createWriteStream, existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { childOf } from '../support/child-of.js'
import { until } from '../support/until.js'
import type { Daemon, NodeHost } from './node-host.js'

const HERE = import.meta.dirname
const run = promisify(execFile)

/**
 * Namespaces and control groups for one node, on this machine. All that runs in them ends, and all that was made for
 * them goes, when this is disposed.
 */
export class NodeSpace implements NodeHost {
  readonly cgroupDriver = 'cgroupfs'

  private constructor(
    readonly dir: string,
    private readonly group: string,
    private readonly outer: ChildProcess,
    /** The node's first process, as this machine numbers it. */
    private readonly pid: number,
  ) {}

  static async make(): Promise<NodeSpace> {
    removeLeftovers()
    const group = `icp-node-${process.pid}`
    const dir = await mkdtemp(join(tmpdir(), `${group}-`))
    const outer = spawn(join(HERE, 'enter-node.sh'), [dir, group], { stdio: ['ignore', 'ignore', 'inherit'] })
    try {
      await until(() => existsSync(join(dir, 'ready')), { what: 'the node has its mounts' })
      return new NodeSpace(dir, group, outer, await childOf(outer.pid ?? 0))
    } catch (error) {
      await remove(dir, group, outer)
      throw error
    }
  }

  get stateDir(): string {
    return this.dir
  }

  async run(program: string, ...args: readonly string[]): Promise<string> {
    const options = { maxBuffer: 64 * 1024 * 1024, timeout: 300_000 }
    const { stdout } = await run(join(HERE, 'run-in-node.sh'), [this.group, `${this.pid}`, program, ...args], options)
    return stdout
  }

  async start(name: string, program: string, args: readonly string[], path = ''): Promise<Daemon> {
    mkdirSync(join(this.dir, 'logs'), { recursive: true })
    const log = createWriteStream(join(this.dir, 'logs', `${name}.log`), { flags: 'a' })
    await new Promise((resolve) => log.once('open', resolve))
    const env = { ...process.env, PATH: `${path}:${process.env['PATH']}` }
    const entered = [this.group, `${this.pid}`, program, ...args]
    const child = spawn(join(HERE, 'run-in-node.sh'), entered, { env, stdio: ['ignore', log, log] })
    const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
    const pid = await childOf(child.pid ?? 0)
    return {
      name,
      kill: async () => {
        process.kill(pid, 'SIGKILL')
        await exited
      },
    }
  }

  async killContainer(id: string): Promise<void> {
    const kubepods = join('/sys/fs/cgroup/memory', this.group, 'kubepods')
    const group = readdirSync(kubepods, { recursive: true, encoding: 'utf8' }).find((path) => path.endsWith(`/${id}`))
    if (group === undefined) throw new Error(`no control group is named ${id}`)
    // The empty line at the end is no pid: for kill(2), 0 is the group of this process.
    const pids = readFileSync(join(kubepods, group, 'cgroup.procs'), 'utf8')
      .split('\n')
      .filter(Boolean)
    for (const pid of pids) process.kill(Number(pid), 'SIGKILL')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await remove(this.dir, this.group, this.outer)
  }
}

/** With the first process of its PID namespace every process of the node ends. */
async function remove(dir: string, group: string, outer: ChildProcess): Promise<void> {
  if (outer.exitCode === null && outer.signalCode === null) {
    const exited = new Promise((resolve) => outer.once('exit', resolve))
    outer.kill('SIGKILL')
    await exited
  }
  await until(() => hierarchies(group).every((path) => removed(path)), {
    what: 'no process is left in the control groups of the node',
  })
  rmSync(dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 200 })
}

/** What runs left that were killed themselves: their nodes ended with them. */
function removeLeftovers(): void {
  const gone = (name: string) => {
    const pid = /^icp-node-(\d+)(?:-|$)/.exec(name)?.[1]
    return pid !== undefined && !existsSync(`/proc/${pid}`)
  }
  for (const name of readdirSync(tmpdir()).filter(gone)) rmSync(join(tmpdir(), name), { recursive: true, force: true })
  for (const name of readdirSync('/sys/fs/cgroup/memory').filter(gone)) hierarchies(name).forEach(removed)
}

function hierarchies(group: string): readonly string[] {
  return readdirSync('/sys/fs/cgroup')
    .map((name) => join('/sys/fs/cgroup', name, group))
    .filter((path) => existsSync(path))
}

/** Removes a control group and those below it, where nobody is in them any more. */
function removed(path: string): boolean {
  try {
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isDirectory() && !removed(join(path, entry.name))) return false
    }
    rmdirSync(path)
    return true
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'EBUSY' || error.code === 'ENOENT')) return false
    throw error
  }
}

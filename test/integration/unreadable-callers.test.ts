import { execFileSync, spawn } from 'node:child_process'
import { chmodSync, chownSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../agent/errors.js'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { until } from '../support/until.js'
import { bundle } from './support/bundle.js'
import { Client } from './support/client.js'
import { Acceptor, TemporaryDirectory } from './support/sockets.js'

const root = process.getuid?.() === 0
const NOBODY = 65534
const SOURCE = fileURLToPath(new URL('programs/main-thread-ends.c', import.meta.url))
const hasCompiler = works('cc', ['--version'])
const canHide = root && works('unshare', ['-pfm', '--mount-proc', 'mount', '-o', 'remount,hidepid=2', '/proc'])

function works(command: string, args: readonly string[]): boolean {
  try {
    execFileSync(command, args, { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}

function errorOf(run: () => unknown): unknown {
  try {
    return run()
  } catch (error) {
    return error
  }
}

describe.runIf(hasCompiler)('a caller whose main thread has ended, while another goes on,', () => {
  const callerIn = async (directory: TemporaryDirectory) => {
    const program = directory.file('program')
    execFileSync('cc', ['-O2', '-pthread', '-o', program, SOURCE])
    const acceptor = await Acceptor.listen(directory.file('s'))
    const kernel = createLinuxKernel()
    const child = spawn(program, [directory.file('s')], { stdio: 'ignore' })
    const { process: handle } = kernel.peerOf(await acceptor.next())
    const thread = () => readdirSync(`/proc/${child.pid}/task`).find((id) => id !== String(child.pid))
    await until(() => /^State:\s+Z/m.test(readFileSync(`/proc/${child.pid}/status`, 'utf8')))
    return {
      program,
      handle,
      /** As root sees the thread that goes on. */
      file: (name: string) => readFileSync(`/proc/${child.pid}/task/${thread()}/${name}`, 'utf8'),
      signal: (signal: NodeJS.Signals) => child.kill(signal),
      async [Symbol.asyncDispose]() {
        child.kill('SIGKILL')
        handle[Symbol.dispose]()
        kernel[Symbol.dispose]()
        await acceptor[Symbol.asyncDispose]()
      },
    }
  }

  it('is seen through the other: program, groups, namespaces and mounts', async () => {
    using directory = new TemporaryDirectory()
    await using s = await callerIn(directory)
    const { dev, ino } = statSync(s.program, { bigint: true })
    expect(s.handle.alive()).toBe(true)
    expect(s.handle.executable()).toMatchObject({ device: dev, inode: ino })
    using executable = s.handle.openExecutable()
    expect(executable?.path()).toBe(s.program)
    expect(s.handle.namespace('mnt')).toBe(readlinkSync('/proc/self/ns/mnt'))
    // Of the main thread, groups of version 1 read as `/` by now.
    expect(s.handle.read('cgroup')).toBe(s.file('cgroup'))
    expect(s.handle.read('mountinfo')).toBe(s.file('mountinfo'))
    expect(s.handle.read('status')).toMatch(/^State:\s+S/m)
  })

  it('and runs another program, is seen to do so', async () => {
    using directory = new TemporaryDirectory()
    await using s = await callerIn(directory)
    const before = s.handle.executable()
    s.signal('SIGUSR2')
    await until(() => s.handle.executable()?.inode !== before?.inode)
    expect(s.handle.read('status')).toMatch(/^Name:\s+sleep/m)
  })

  it.runIf(root)('and changes its user, is seen to do so', async () => {
    using directory = new TemporaryDirectory()
    chmodSync(directory.path, 0o755)
    await using s = await callerIn(directory)
    s.handle.executable()
    s.signal('SIGUSR1')
    await until(() => /^Uid:\s+65534\s/m.test(s.handle.read('status')))
  })

  it('ends with its last thread', async () => {
    using directory = new TemporaryDirectory()
    await using s = await callerIn(directory)
    s.handle.executable()
    s.signal('SIGKILL')
    await until(() => !s.handle.alive())
    expect(codeOf(errorOf(() => s.handle.executable()))).toBe('caller.exited')
    expect(codeOf(errorOf(() => s.handle.read('cgroup')))).toBe('caller.exited')
  })
})

describe('a caller that lives and cannot be read', () => {
  it.runIf(canHide)('has not ended when /proc hides it (hidepid=2)', async () => {
    using directory = new TemporaryDirectory()
    chmodSync(directory.path, 0o755)
    chownSync(directory.path, NOBODY, NOBODY)
    const path = directory.file('agent.sock')
    const program = await bundle(
      directory.file('agent.mjs'),
      `
      import { startAgentPart } from './test/integration/support/agent-part.js'
      import { seesProcesses } from './agent/platform/capabilities.js'
      import { RecordedSinks } from './test/fakes/sinks.js'
      await startAgentPart(process.argv[2], new RecordedSinks(), (seen) => {
        console.log(JSON.stringify('error' in seen ? [seen.error.code, seen.error.message] : ['known']))
      })
      console.log(JSON.stringify(['listening', seesProcesses()]))
      process.stdin.on('end', () => process.exit(0)).resume()
      `,
    )
    // Pid 1 of the namespace is the agent's shell, root's; so is the caller.
    const connect = 'require("net").connect(process.argv[1]).on("error", () => {}); setTimeout(() => 0, 60000)'
    const caller = `until [ -S "$0" ]; do sleep 0.1; done; exec ${process.execPath} -e '${connect}' "$0"`
    const user = `--reuid ${NOBODY} --regid ${NOBODY} --clear-groups`
    const script = `mount -o remount,hidepid=2 /proc; (${caller}) & setpriv ${user} "$@"; wait`
    const child = spawn(
      'unshare',
      ['-pfm', '--kill-child', '--mount-proc', 'sh', '-c', script, path, process.execPath, program.path, path],
      { env: { ...program.env, PATH: process.env['PATH'] ?? '' }, stdio: ['pipe', 'pipe', 'inherit'] },
    )
    try {
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
      const hear = async (): Promise<unknown> => JSON.parse((await lines.next()).value)
      expect(await hear()).toEqual(['listening', false])
      expect(await hear()).toEqual([
        'caller.unidentified',
        expect.stringMatching(/is alive, .*hidepid.*CAP_SYS_PTRACE/),
      ])
    } finally {
      child.kill('SIGKILL')
    }
  })

  it('is shown by /proc where nothing hides it', async () => {
    using directory = new TemporaryDirectory()
    await using acceptor = await Acceptor.listen(directory.file('s'))
    using kernel = createLinuxKernel()
    await using client = await Client.start()
    await client.connect(directory.file('s'))
    using handle = kernel.peerOf(await acceptor.next()).process
    expect(handle.executable()).not.toBeNull()
  })
})

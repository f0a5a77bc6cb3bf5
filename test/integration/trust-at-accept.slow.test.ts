import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { Workload } from '../../agent/workload-api/workload.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { until } from '../support/until.js'
import { outcomeOf, type Seen, settled, startAgentPart } from './support/agent-part.js'
import { bundle } from './support/bundle.js'
import { Client } from './support/client.js'
import { FuseMount } from './support/fuse.js'
import { TemporaryDirectory } from './support/sockets.js'

const root = process.getuid?.() === 0
const hasFuse = root && existsSync('/dev/fuse')
const KOFFI = createRequire(import.meta.url).resolve('koffi')

async function setting() {
  const directory = new TemporaryDirectory()
  chmodSync(directory.path, 0o755)
  const queue: Seen[] = []
  let open = (): void => {}
  const gate = { admit: Promise.resolve() }
  const agent = await startAgentPart(directory.file('agent.sock'), new RecordedSinks(), (seen) => queue.push(seen), {
    admit: () => gate.admit,
  })
  return {
    directory,
    agent,
    path: directory.file('agent.sock'),
    /** Connections are accepted and wait to be attested until `admit`. */
    holdBack() {
      gate.admit = new Promise((resolve) => {
        open = resolve
      })
    },
    admit() {
      open()
      gate.admit = Promise.resolve()
    },
    async next(): Promise<Workload> {
      await until(() => queue.length > 0)
      const seen = queue.shift()
      if (!seen || 'error' in seen) throw seen?.error ?? new Error('nobody was seen')
      return seen.workload
    },
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

/** The longest time in milliseconds that the event loop did not turn while `run` went on. */
async function longestPause(run: () => Promise<void>): Promise<number> {
  let last = performance.now()
  let longest = 0
  const timer = setInterval(() => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }, 5)
  await run()
  clearInterval(timer)
  return longest
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

describe.runIf(hasFuse)('a file system that does not answer', () => {
  it('under an executable holds up its own process alone, and not for ever', async () => {
    await using s = await setting()
    await using fuse = await FuseMount.mount(s.directory.file('mnt'), process.execPath)
    await using victim = await Client.start({ executable: fuse.file })
    await using other = await Client.start()
    const ownDigest = sha256('/proc/self/exe')
    s.holdBack()
    await victim.connect(s.path)
    await until(() => s.agent.connections.size === 1)
    fuse.stop()
    const pause = await longestPause(async () => {
      s.admit()
      const stuck = await s.next()
      await other.connect(s.path)
      const served = await s.next()
      await settled(served)
      expect(outcomeOf({ workload: served })).toMatchObject({ 'unix:sha256': ownDigest })
      await settled(stuck)
      // It is known for what it is; only its digest is not.
      expect(stuck.state).toMatchObject({ kind: 'attested', unavailable: ['unix'] })
      expect(outcomeOf({ workload: stuck })).toMatchObject({ 'unix:uid': '0', 'unix:path': fuse.file })
      expect(outcomeOf({ workload: stuck })).not.toHaveProperty('unix:sha256')
      expect(stuck.check()).toBeNull()
    })
    expect(s.agent.digests.stuck).toBe(1)
    expect(pause).toBeLessThan(1000)
    fuse.go()
    await until(() => s.agent.digests.stuck === 0)
  })

  it('under the command line of a caller stalls nobody: it is never read', async () => {
    await using s = await setting()
    await using fuse = await FuseMount.mount(s.directory.file('mnt'), process.execPath)
    const trap = spawn(process.execPath, ['-e', TRAP, fuse.file, s.path], {
      env: { KOFFI },
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    try {
      await new Promise((resolve) => trap.stdout.once('data', resolve))
      fuse.stop()
      // Linux before 4.17 would let a reader wait for ever; later ones show it nothing.
      const reader = spawnSync('timeout', ['-s', 'KILL', '1', 'cat', `/proc/${trap.pid}/cmdline`])
      expect(reader.stdout).toHaveLength(0)
      trap.stdin.write('connect\n')
      const workload = await s.next()
      await settled(workload)
      expect(outcomeOf({ workload })).toMatchObject({ 'unix:uid': '0', 'unix:sha256': sha256('/proc/self/exe') })
      expect(workload.check()).toBeNull()
    } finally {
      trap.kill('SIGKILL')
    }
  })
})

describe.runIf(root)('an agent with fewer rights', () => {
  it('as a plain user keeps every promise that it can', () => {
    const repository = fileURLToPath(new URL('../..', import.meta.url))
    const vitest = `${repository}node_modules/vitest/vitest.mjs`
    const test = 'test/integration/trust-at-accept.test.ts'
    const plain = ['--reuid', '65534', '--regid', '65534', '--clear-groups', process.execPath]
    const run = spawnSync('setpriv', [...plain, vitest, 'run', '--configLoader', 'runner', test], {
      cwd: repository,
      env: { PATH: process.env['PATH'] ?? '', HOME: '/tmp' },
      encoding: 'utf8',
    })
    expect(run.stdout).toMatch(/Tests .*passed/)
    expect(run.stdout).not.toMatch(/failed/)
    expect(run.status).toBe(0)
  })

  it('as root without SYS_PTRACE knows who calls, though not what program', async () => {
    using directory = new TemporaryDirectory()
    chmodSync(directory.path, 0o755)
    const path = directory.file('agent.sock')
    const program = await bundle(
      directory.file('agent.mjs'),
      `
      import { outcomeOf, settled, startAgentPart } from './test/integration/support/agent-part.js'
      import { RecordedSinks } from './test/fakes/sinks.js'
      await startAgentPart(process.argv[2], new RecordedSinks(), async (seen) => {
        if ('workload' in seen) await settled(seen.workload)
        console.log(JSON.stringify(outcomeOf(seen)))
      })
      console.log('"listening"')
      `,
    )
    const lines: unknown[] = []
    const rights = ['--bounding-set', '-all,+dac_override,+chown,+fowner', '--inh-caps', '-all']
    const agent = spawn('setpriv', [...rights, process.execPath, program.path, path], {
      env: program.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    agent.stdout.on('data', (data: Buffer) => {
      for (const line of data.toString().split('\n').filter(Boolean)) lines.push(JSON.parse(line))
    })
    try {
      await until(() => lines.length === 1)
      await using client = await Client.start({ uid: 65534, gid: 65534 })
      await client.connect(path)
      await until(() => lines.length === 2)
      expect(lines[1]).toEqual({ 'unix:uid': '65534', 'unix:gid': '65534' })
    } finally {
      agent.kill('SIGKILL')
    }
  })
})

/** Maps a file and declares its memory to be its command line, as any process may (PR_SET_MM_MAP). */
const TRAP = `
const fs = require('node:fs')
const koffi = require(process.env.KOFFI)
const libc = koffi.load(null)
const [file, socket] = process.argv.slice(1)
const fd = fs.openSync(file, 'r')
const page = BigInt(libc.func('mmap', 'uint64', ['uint64', 'uint64', 'int', 'int', 'int', 'int64'])(0, 4096, 1, 2, fd, 0))
const stat = fs.readFileSync('/proc/self/stat', 'utf8').split(') ')[1].trim().split(' ')
const at = (field) => BigInt(stat[field - 3])
const brk = BigInt(libc.func('sbrk', 'uint64', ['int64'])(0))
const map = Buffer.alloc(104)
const values = [at(26), at(27), at(45), at(46), at(47), brk, at(28), page, page + 4096n, at(50), at(51)]
values.forEach((value, i) => map.writeBigUInt64LE(value, i * 8))
map.writeInt32LE(-1, 100)
const result = libc.func('prctl', 'int', ['int', 'ulong', 'void *', 'ulong', 'ulong'])(35, 14, map, 104, 0)
if (result !== 0) throw new Error('prctl: errno ' + koffi.errno())
process.stdin.once('data', () => require('node:net').connect(socket).on('error', () => {}))
process.stdout.write('ready\\n')
`

import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, copyFileSync, existsSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { describe, expect, it } from 'vitest'
import type { LinuxKernelOptions } from '../../agent/platform/linux-kernel.js'
import type { Workload } from '../../agent/workload-api/workload.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { until } from '../support/until.js'
import { outcomeOf, type Seen, settled, startAgentPart } from './support/agent-part.js'
import { bundle } from './support/bundle.js'
import { Client } from './support/client.js'
import { TemporaryDirectory } from './support/sockets.js'

const uid = process.getuid?.() ?? -1
const gid = process.getgid?.() ?? -1
const root = uid === 0
const LAST_PID = '/proc/sys/kernel/ns_last_pid'
const canChoosePids = root && works(() => writeFileSync(LAST_PID, readFileSync(LAST_PID)))
/** Anybody may make namespaces of his own, where the machine allows it. */
const hasUserNamespaces = works(() => execFileSync('unshare', ['-Urpf', '--mount-proc', 'true'], { stdio: 'ignore' }))
const setuidProgram = ['/usr/bin/su', '/bin/su'].find((path) => existsSync(path) && statSync(path).mode & 0o4000)

function works(run: () => unknown): boolean {
  try {
    run()
    return true
  } catch {
    return false
  }
}

const sha256 = (path: string) => createHash('sha256').update(readFileSync(path)).digest('hex')

/** Node, which somebody has mounted over a trusted program in namespaces of his own, as it is reached from outside. */
async function privateMount(): Promise<Disposable & { readonly executable: string }> {
  const script = `mount --bind ${process.execPath} /usr/bin/id && echo mounted && exec sleep 60`
  const inside = spawn('unshare', ['-Urm', 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  await new Promise((resolve) => inside.stdout.once('data', resolve))
  await until(() => readFileSync(`/proc/${inside.pid}/comm`, 'utf8') === 'sleep\n')
  return {
    executable: `/proc/${inside.pid}/root/usr/bin/id`,
    [Symbol.dispose]: () => void inside.kill('SIGKILL'),
  }
}

async function setting(options: LinuxKernelOptions = {}) {
  const directory = new TemporaryDirectory()
  chmodSync(directory.path, 0o755)
  const path = directory.file('agent.sock')
  const sinks = new RecordedSinks()
  const queue: Seen[] = []
  const agent = await startAgentPart(path, sinks, (seen) => queue.push(seen), options)
  const next = async (): Promise<Seen> => {
    await until(() => queue.length > 0)
    const [seen] = queue.splice(0, 1)
    if (!seen) throw new Error('nobody was seen')
    return seen
  }
  return {
    path,
    directory,
    agent,
    sinks,
    next,
    /** The workload of the next connection, attested or failed. */
    async workload(): Promise<Workload> {
      const seen = await next()
      if ('error' in seen) throw seen.error
      await settled(seen.workload)
      return seen.workload
    },
    async [Symbol.asyncDispose]() {
      await agent[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

const selectorsOf = (workload: Workload) => outcomeOf({ workload })

describe('trust at accept', () => {
  it('a process gets what is true of it: its user, its groups, its program', async () => {
    await using s = await setting()
    await using client = await Client.start()
    await client.connect(s.path)
    const selectors = selectorsOf(await s.workload())
    expect(selectors).toMatchObject({
      'unix:uid': String(uid),
      'unix:gid': String(gid),
      'unix:path': readlinkSync('/proc/self/exe'),
      'unix:sha256': sha256('/proc/self/exe'),
    })
    if (root) expect(selectors).toMatchObject({ 'unix:user': 'root', 'unix:group': 'root' })
  })

  it('two processes of one user with different programs are told apart', async () => {
    await using s = await setting()
    const copy = s.directory.file('other-node')
    copyFileSync(process.execPath, copy)
    // A different program: what follows the image of an executable does not keep it from running.
    writeFileSync(copy, 'different', { flag: 'a' })
    await using one = await Client.start()
    await one.connect(s.path)
    const first = selectorsOf(await s.workload())
    await using two = await Client.start({ executable: copy })
    await two.connect(s.path)
    const second = selectorsOf(await s.workload())
    expect(second).toMatchObject({ 'unix:path': copy, 'unix:sha256': sha256(copy) })
    expect(first).not.toMatchObject({ 'unix:sha256': sha256(copy) })
  })

  it('a program that execs a trusted one after it connected gets nothing on that connection', async () => {
    await using s = await setting()
    await using client = await Client.start()
    await client.connect(s.path)
    const workload = await s.workload()
    expect(workload.check()).toBeNull()
    client.tell('exec /bin/sleep 60')
    await until(() => workload.check() !== null)
    expect(workload.check()?.code).toBe('caller.executable_changed')
    workload.reattest()
    await until(() => workload.state.kind === 'failed')
    expect(selectorsOf(workload)).toBe('caller.executable_changed')
  })

  it.runIf(setuidProgram)('a setuid program that is run after connecting gets nothing', async () => {
    await using s = await setting()
    // As somebody else than root, whose ids it would not change.
    await using client = await Client.start(root ? { uid: 65534, gid: 65534 } : {})
    await client.connect(s.path)
    const workload = await s.workload()
    expect(workload.check()).toBeNull()
    client.tell(`exec ${setuidProgram}`)
    // A plain user may not see the program, but its ids.
    const code = root ? 'caller.executable_changed' : 'caller.ids_changed'
    await until(() => workload.check()?.code === code)
    expect(workload.check()?.code).toBe(code)
  })

  it.runIf(root)('a process with mixed ids gets nothing, before and after connecting', async () => {
    await using s = await setting()
    await using client = await Client.start()
    await client.connect(s.path)
    const workload = await s.workload()
    expect(workload.check()).toBeNull()
    client.tell('seteuid 65534')
    await client.hears(0)
    expect(workload.check()?.code).toBe('caller.ids_changed')
    workload.reattest()
    await until(() => workload.state.kind === 'failed')
    await client.connect(s.path)
    const second = await s.workload()
    expect(second.caller.uid).toBe(65534)
    expect(selectorsOf(second)).toBe('caller.ids_changed')
  })

  it.runIf(root)('a setuid program that connects gets nothing, neither as root nor as its user', async () => {
    await using s = await setting()
    const copy = s.directory.file('setuid-node')
    copyFileSync(process.execPath, copy)
    chmodSync(copy, 0o4755)
    await using client = await Client.start({ uid: 65534, gid: 65534, executable: copy })
    await client.connect(s.path)
    const workload = await s.workload()
    expect(workload.caller.uid).toBe(0)
    expect(selectorsOf(workload)).toBe('caller.ids_changed')
  })

  it('a process that ends ends its workload', async () => {
    await using s = await setting()
    await using client = await Client.start()
    await client.connect(s.path)
    const workload = await s.workload()
    await client.end()
    await until(() => workload.ended)
    expect(workload.check()?.code).toBe('caller.exited')
  })

  it.runIf(hasUserNamespaces)('a path that a private mount makes up is not believed', async () => {
    await using s = await setting()
    using forged = await privateMount()
    // It is run from outside, in the namespaces of the host.
    await using client = await Client.start({ executable: forged.executable })
    expect(readlinkSync(`/proc/${client.pid}/exe`)).toBe('/usr/bin/id')
    expect(readlinkSync(`/proc/${client.pid}/ns/mnt`)).toBe(readlinkSync('/proc/self/ns/mnt'))
    await client.connect(s.path)
    const selectors = selectorsOf(await s.workload())
    expect(selectors).toMatchObject({ 'unix:uid': String(uid), 'unix:sha256': sha256(process.execPath) })
    expect(selectors).not.toHaveProperty('unix:path')
    expect(selectors).not.toHaveProperty('unix:exe')
  })

  it.runIf(hasUserNamespaces)(
    'an exec of the same file through another mount is seen, and changes no held program',
    async () => {
      await using s = await setting()
      using forged = await privateMount()
      await using client = await Client.start()
      await client.connect(s.path)
      const workload = await s.workload()
      const { process: handle } = workload.caller
      using before = handle.openExecutable()
      client.tell(`exec ${forged.executable} -e setTimeout(()=>0,60000)`)
      await until(() => readlinkSync(`/proc/${client.pid}/exe`) === '/usr/bin/id')
      expect(workload.check()?.code).toBe('caller.executable_changed')
      using after = handle.openExecutable()
      expect(after?.id).toEqual({ ...before?.id, mount: expect.any(BigInt) })
      expect(after?.id.mount).not.toBe(before?.id.mount)
      // Between the two looks the process went on; what is read of one is of that one.
      expect([before?.path(), after?.path()]).toEqual([readlinkSync('/proc/self/exe'), null])
    },
  )

  it.runIf(hasUserNamespaces)('a process in a mount namespace of its own has neither path nor names', async () => {
    await using s = await setting()
    await using client = await Client.within('unshare', ['-Urm'])
    await client.connect(s.path)
    const selectors = selectorsOf(await s.workload())
    expect(selectors).toMatchObject({ 'unix:uid': String(uid), 'unix:gid': String(gid) })
    for (const key of ['unix:path', 'unix:exe', 'unix:user', 'unix:group']) expect(selectors).not.toHaveProperty(key)
  })

  it.runIf(hasUserNamespaces)('a caller outside the PID namespace of the agent is refused, root or not', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    const program = await bundle(
      directory.file('agent.mjs'),
      `
      import { createServer } from 'node:net'
      import { createLinuxKernel } from './agent/platform/linux-kernel.js'
      const kernel = createLinuxKernel()
      const say = (what) => console.log(JSON.stringify(what))
      createServer((socket) => {
        try {
          say(kernel.peerOf(socket._handle.fd).pid)
        } catch (error) {
          say([error.code, error.message])
        }
      }).listen(process.argv[2], () => say('listening'))
      `,
    )
    const command = ['-Urpf', '--kill-child', '--mount-proc', process.execPath, program.path, path]
    const agent = spawn('unshare', command, { env: program.env, stdio: ['pipe', 'pipe', 'inherit'] })
    try {
      const lines = createInterface({ input: agent.stdout })[Symbol.asyncIterator]()
      const hear = async (): Promise<unknown> => JSON.parse((await lines.next()).value)
      expect(await hear()).toBe('listening')
      await using client = await Client.start()
      await client.connect(path)
      expect(await hear()).toEqual(['caller.foreign_pid_namespace', expect.stringMatching(/hostPID.*pid: host/)])
    } finally {
      agent.kill('SIGKILL')
    }
  })
})

describe.each<[string, LinuxKernelOptions]>([
  ['with pidfds of peers', {}],
  ['without them', { withoutPeerPidfd: true, withoutPidfdInodes: true }],
])('a reused pid, %s', (_name, options) => {
  it('a client that is dead before it is accepted is refused', async () => {
    await using s = await setting(options)
    // Nothing is accepted while this waits.
    spawnSync(process.execPath, ['-e', connectAndEnd(s.path)])
    const seen = await s.next()
    expect(outcomeOf(seen)).toBe('caller.exited')
  })

  it.runIf(canChoosePids)('one that takes the pid before the accept gets nothing of its predecessor', async () => {
    await using s = await setting(options)
    for (let attempt = 0; attempt < 50; attempt++) {
      const { pid } = spawnSync(process.execPath, ['-e', connectAndEnd(s.path)])
      writeFileSync(LAST_PID, String(pid - 1))
      const heir = spawn('/bin/sleep', ['60'], { stdio: 'ignore' })
      try {
        // Still inside one turn of the event loop: the accept comes when the pid is another's.
        const seen = s.next()
        if (heir.pid !== pid) {
          // On a busy machine the pid is anybody's.
          await seen
          continue
        }
        expect(outcomeOf(await seen)).toBe('caller.exited')
        return
      } finally {
        heir.kill('SIGKILL')
      }
    }
    throw new Error('the pid could not be had again')
  })

  it.runIf(canChoosePids)('one that takes the pid of an attested process inherits nothing', async () => {
    await using s = await setting(options)
    for (let attempt = 0; attempt < 50; attempt++) {
      const first = await Client.start()
      await first.connect(s.path)
      const workload = await s.workload()
      await first.end()
      writeFileSync(LAST_PID, String(first.pid - 1))
      await using second = await Client.start({ uid: 65534, gid: 65534 })
      if (second.pid !== first.pid) continue
      await second.connect(s.path)
      const heir = await s.workload()
      expect(heir).not.toBe(workload)
      expect(heir.caller.pid).toBe(workload.caller.pid)
      expect(heir.caller.process.key).not.toBe(workload.caller.process.key)
      expect(selectorsOf(heir)).toMatchObject({ 'unix:uid': '65534' })
      expect(workload.check()?.code).toBe('caller.exited')
      return
    }
    throw new Error('the pid could not be had again')
  })
})

/** A program that connects and is gone, as fast as it can. */
function connectAndEnd(path: string): string {
  return `require('node:net').connect(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`
}

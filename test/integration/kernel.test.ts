import { chmodSync, closeSync, existsSync, openSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../agent/errors.js'
import { createLinuxKernel, type LinuxKernelOptions } from '../../agent/platform/linux-kernel.js'
import { until } from '../support/until.js'
import { Client } from './support/client.js'
import { Acceptor, connectHere, TemporaryDirectory } from './support/sockets.js'

const root = process.getuid?.() === 0

/** The ways in which kernels of different ages say who is calling. */
const KERNELS: readonly (readonly [string, LinuxKernelOptions])[] = [
  ['Linux 6.9 and later', {}],
  ['Linux 6.5', { withoutPidfdInodes: true }],
  ['Linux 5.3', { withoutPidfdInodes: true, withoutPeerPidfd: true }],
]

function groupsOf(pid: number | 'self'): number[] {
  const line = /^Groups:[ \t]*(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? ''
  return line.split(' ').filter(Boolean).map(Number)
}

/** The mount id of a file, as the kernel tells it of a descriptor. */
function mountOf(path: string): bigint {
  const fd = openSync(path, 'r')
  try {
    return BigInt(/^mnt_id:\s+(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8'))?.[1] ?? -1)
  } finally {
    closeSync(fd)
  }
}

function thrown(run: () => unknown): unknown {
  try {
    run()
  } catch (error) {
    return codeOf(error)
  }
  return 'nothing thrown'
}

async function setting(options: LinuxKernelOptions) {
  const directory = new TemporaryDirectory()
  chmodSync(directory.path, 0o755)
  const path = directory.file('s')
  const acceptor = await Acceptor.listen(path)
  const kernel = createLinuxKernel({ exitPollMs: 20, ...options })
  return {
    path,
    acceptor,
    kernel,
    async [Symbol.asyncDispose]() {
      kernel[Symbol.dispose]()
      await acceptor[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

describe.each(KERNELS)('who is calling, as of %s', (_name, options) => {
  it('a process of this user is known by pid, ids and executable', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    const peer = s.kernel.peerOf(await s.acceptor.next())
    using process_ = peer.process
    expect(peer).toMatchObject({ pid: client.pid, uid: process.getuid?.(), gid: process.getgid?.() })
    expect(new Set(peer.groups)).toEqual(new Set(groupsOf('self')))
    const stat = statSync(process.execPath, { bigint: true })
    const mount = mountOf('/proc/self/exe')
    expect(process_.executable()).toEqual({ device: stat.dev, inode: stat.ino, mount })
    using program = process_.openExecutable()
    expect(program?.id).toEqual(process_.executable())
    expect(program?.path()).toBe(readlinkSync('/proc/self/exe'))
    expect(statSync(program?.file ?? '', { bigint: true }).ino).toBe(stat.ino)
    expect(process_.read('stat')).toMatch(new RegExp(`^${client.pid} `))
    expect(process_.read('status')).toMatch(/^Uid:/m)
    expect(process_.read('mountinfo')).toMatch(/ \/ /)
    expect(process_.namespace('mnt')).toBe(s.kernel.host.mnt)
    expect(process_.alive()).toBe(true)
  })

  it('a process is the same one by its pid and by its connection, and what ended has no pid', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    const { process: connected, ...peer } = s.kernel.peerOf(await s.acceptor.next())
    using _connected = connected
    const { process: named, ...byPid } = s.kernel.peerOfPid(client.pid)
    using _named = named
    expect({ ...byPid, groups: new Set(byPid.groups) }).toEqual({ ...peer, groups: new Set(peer.groups) })
    expect([named.key, named.executable()]).toEqual([connected.key, connected.executable()])
    expect(s.kernel.pids()).toContain(client.pid)
    expect(s.kernel.cgroupOf(client.pid)).toBe(connected.read('cgroup'))
    await client.end()
    await until(() => !named.alive())
    expect(thrown(() => named.read('cgroup'))).toBe('caller.exited')
    expect(thrown(() => s.kernel.peerOfPid(client.pid))).toBe('caller.exited')
  })

  it('two connections of one process have one key, another process has another', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    await client.connect(s.path)
    using first = s.kernel.peerOf(await s.acceptor.next()).process
    using second = s.kernel.peerOf(await s.acceptor.next()).process
    using own = await connectHere(s.path).then(async (socket) => {
      const handle = s.kernel.peerOf(await s.acceptor.next()).process
      socket.destroy()
      return handle
    })
    expect(second.key).toBe(first.key)
    expect(own.key).not.toBe(first.key)
  })

  it('a process that ended before its connection was looked at is refused', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    const fd = await s.acceptor.next()
    await client.end()
    expect(thrown(() => s.kernel.peerOf(fd))).toBe('caller.exited')
  })

  it('an exit is told once to each who watches, and reads say so afterwards', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    using process_ = s.kernel.peerOf(await s.acceptor.next()).process
    const told: string[] = []
    using _one = s.kernel.onExit(process_, () => told.push('one'))
    using _two = s.kernel.onExit(process_, () => told.push('two'))
    const stopped = s.kernel.onExit(process_, () => told.push('stopped'))
    stopped[Symbol.dispose]()
    await client.end()
    await until(() => told.length >= 2)
    expect(told).toEqual(['one', 'two'])
    expect(process_.alive()).toBe(false)
    for (const read of [
      () => process_.read('status'),
      () => process_.executable(),
      () => process_.openExecutable(),
      () => process_.namespace('mnt'),
    ]) {
      expect(thrown(read)).toBe('caller.exited')
    }
  })

  it('a zombie counts as ended', async () => {
    await using s = await setting(options)
    // The shell starts the client and then becomes a program that never reaps its child.
    await using parent = await Client.within('/bin/sh', ['-c', 'exec 3<&0; "$@" <&3 3<&- & exec sleep 60 3<&-', 'sh'])
    await parent.connect(s.path)
    const peer = s.kernel.peerOf(await s.acceptor.next())
    using process_ = peer.process
    expect(peer.pid).not.toBe(parent.pid)
    process.kill(peer.pid, 'SIGKILL')
    await until(() => !process_.alive())
    expect(process_.read('status')).toMatch(/^State:\s+Z/m)
    expect(thrown(() => process_.executable())).toBe('caller.exited')
  })

  it('an exec after connecting shows in the executable, not in the key', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    using process_ = s.kernel.peerOf(await s.acceptor.next()).process
    const before = process_.executable()
    const { key } = process_
    client.tell('exec /bin/sleep 60')
    await until(() => process_.executable()?.inode !== before?.inode)
    expect(process_.executable()).not.toEqual(before)
    expect(process_.key).toBe(key)
    expect(process_.alive()).toBe(true)
  })

  it('no descriptor is left behind', async () => {
    await using s = await setting(options)
    await using client = await Client.start()
    await client.connect(s.path)
    await client.connect(s.path)
    const fds = [await s.acceptor.next(), await s.acceptor.next()]
    // The first watch makes the epoll descriptor, which stays.
    using first = s.kernel.peerOf(fds[0] ?? -1).process
    s.kernel.onExit(first, () => {})
    const before = readdirSync('/proc/self/fd').length
    const process_ = s.kernel.peerOf(fds[1] ?? -1).process
    s.kernel.onExit(process_, () => {})
    expect(readdirSync('/proc/self/fd').length).toBe(before + 2)
    process_[Symbol.dispose]()
    process_[Symbol.dispose]()
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(process_.alive()).toBe(false)
    expect(thrown(() => process_.read('stat'))).toBe('caller.exited')
    expect(() => s.kernel.onExit(process_, () => {})).toThrow(TypeError)
    await client.end()
    const afterwards = readdirSync('/proc/self/fd').length
    expect(thrown(() => s.kernel.peerOf(fds[1] ?? -1))).toBe('caller.exited')
    expect(readdirSync('/proc/self/fd').length).toBe(afterwards)
  })
})

describe('descriptors and other users', () => {
  it('what is no Unix socket identifies nobody', async () => {
    await using s = await setting({})
    const file = openSync('/dev/null', 'r')
    expect(thrown(() => s.kernel.peerOf(file))).toBe('caller.unidentified')
    closeSync(file)
    expect(thrown(() => s.kernel.peerOf(-1))).toBe('caller.unidentified')
  })

  it('every descriptor is closed on exec', async () => {
    await using s = await setting({})
    const before = new Set(readdirSync('/proc/self/fd'))
    await using client = await Client.start()
    await client.connect(s.path)
    using process_ = s.kernel.peerOf(await s.acceptor.next()).process
    using _watch = s.kernel.onExit(process_, () => {})
    const flags = readdirSync('/proc/self/fd')
      .filter((fd) => !before.has(fd))
      .map((fd) => {
        try {
          return readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8').match(/flags:\s+(\d+)/)?.[1]
        } catch {
          return undefined
        }
      })
      .filter((flag) => flag !== undefined)
    expect(flags.length).toBeGreaterThanOrEqual(3)
    for (const flag of flags) expect(Number.parseInt(flag, 8) & 0o2000000).toBe(0o2000000)
  })

  it.runIf(root)('another user is known by its own ids, and its supplementary groups are its own', async () => {
    await using s = await setting({})
    await using client = await Client.start({ uid: 65534, gid: 65533 })
    await client.connect(s.path)
    const peer = s.kernel.peerOf(await s.acceptor.next())
    using process_ = peer.process
    expect(peer).toMatchObject({ uid: 65534, gid: 65533 })
    expect(process_.executable()).not.toBeNull()
  })

  it.runIf(root && existsSync('/usr/bin/setpriv'))('more groups than the first guess are all there', async () => {
    await using s = await setting({})
    const groups = Array.from({ length: 100 }, (_, i) => 5000 + i)
    await using client = await Client.within('/usr/bin/setpriv', ['--groups', groups.join(',')])
    await client.connect(s.path)
    const peer = s.kernel.peerOf(await s.acceptor.next())
    using _process = peer.process
    expect(peer.groups).toEqual(groups)
  })
})

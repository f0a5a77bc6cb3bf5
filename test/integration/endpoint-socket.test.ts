import {
  chmodSync,
  chownSync,
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../agent/errors.js'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { socketDirectory } from '../../agent/platform/socket-directory.js'
import type { Listener } from '../../agent/workload-api/listener.js'
import { FakeClock } from '../fakes/clock.js'
import { fairnessWith } from '../fakes/fairness.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { until } from '../support/until.js'
import { Client } from './support/client.js'
import { listen, unattested } from './support/listen.js'
import { connectHere, listeningDescriptor, TemporaryDirectory } from './support/sockets.js'

const root = process.getuid?.() === 0
const kernel = createLinuxKernel()

const LIMITS = { connections: 100, connectionsPerSubject: 100, connectionsPerPid: 100, idleConnectionMs: 60_000 }

function listenAt(
  socketPath: string,
  sinks = new RecordedSinks(),
  connections = unattested(LIMITS, new FakeClock()),
  clock = new FakeClock(),
): Promise<Listener> {
  return listen({
    socketPath,
    directory: socketDirectory,
    kernel,
    connections,
    subjectOf: () => 'all',
    clock,
    events: callerEvents(sinks, new FakeClock()),
    fairness: fairnessWith(new FakeClock()),
    onConnection: ({ socket }) => void socket.resume(),
  })
}

const codeWhenListening = (path: string) =>
  listenAt(path).then(async (listener) => {
    await listener[Symbol.asyncDispose]()
    return 'listening'
  }, codeOf)

/** What an agent leaves behind when it is killed. */
async function leaveStaleSocket(path: string): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(`${path}.tmp`, resolve))
  renameSync(`${path}.tmp`, path)
  await new Promise((resolve) => server.close(resolve))
}

describe('the socket file', () => {
  it('is 0666 in a 0755 directory that is made where it is missing, whatever the umask', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('run/spire/sockets/agent.sock')
    const umask = process.umask(0o077)
    const listener = await listenAt(path).finally(() => process.umask(umask))
    expect(statSync(path).mode & 0o7777).toBe(0o666)
    for (const part of ['run', 'run/spire', 'run/spire/sockets']) {
      expect(statSync(directory.file(part)).mode & 0o7777).toBe(0o755)
    }
    expect(readdirSync(directory.file('run/spire/sockets'))).toEqual(['agent.sock'])
    expect(listener.intact()).toBe(true)
    await listener[Symbol.asyncDispose]()
    expect(readdirSync(directory.file('run/spire/sockets'))).toEqual([])
  })

  it('that a killed agent left is taken over, and there is a socket at every moment', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    await leaveStaleSocket(path)
    const before = lstatSync(path).ino
    const sinks = new RecordedSinks()
    await using listener = await listenAt(path, sinks)
    expect(lstatSync(path).ino).not.toBe(before)
    expect(sinks.events('info')).toEqual(['Stale socket taken over'])
    const client = await connectHere(path)
    client.destroy()
    expect(listener.intact()).toBe(true)
  })

  it('of an agent that runs is left alone', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    await using first = await listenAt(path)
    expect(await codeWhenListening(path)).toBe('agent.already_running')
    expect(first.intact()).toBe(true)
    const client = await connectHere(path)
    client.destroy()
    expect(readdirSync(directory.path)).toEqual(['agent.sock'])
  })

  it.each<[string, (path: string) => void]>([
    ['a regular file', (path) => writeFileSync(path, 'precious')],
    ['a directory', (path) => mkdirSync(path)],
    ['a symlink to a file', (path) => symlinkSync('/etc/passwd', path)],
    ['a dangling symlink', (path) => symlinkSync('/nowhere', path)],
  ])('%s in its place is refused and stays', async (_name, put) => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    put(path)
    const before = lstatSync(path)
    expect(await codeWhenListening(path)).toBe('file.unsafe')
    expect(lstatSync(path)).toEqual(before)
    expect(readdirSync(directory.path)).toEqual(['agent.sock'])
  })

  it('whose path has 107 bytes is served, 108 are refused', async () => {
    using directory = new TemporaryDirectory()
    const name = (bytes: number) => directory.file('x'.repeat(bytes - directory.path.length - 1))
    expect(Buffer.byteLength(name(107))).toBe(107)
    const listener = await listenAt(name(107))
    const client = await connectHere(name(107))
    client.destroy()
    await listener[Symbol.asyncDispose]()
    expect(await codeWhenListening(name(108))).toBe('config.invalid')
    expect(readdirSync(directory.path)).toEqual([])
  })

  it.each(['agent.sock', './agent.sock', '/tmp/'])('at %s is refused: not an absolute path of a file', async (path) => {
    expect(await codeWhenListening(path)).toBe('config.invalid')
  })

  it('of another agent that came later is not removed on stop', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    const first = await listenAt(path)
    rmSync(path)
    expect(first.intact()).toBe(false)
    await using second = await listenAt(path)
    expect(first.intact()).toBe(false)
    await first[Symbol.asyncDispose]()
    expect(second.intact()).toBe(true)
    expect(existsSync(path)).toBe(true)
  })

  it('whose directory was made anew is known to be lost', async () => {
    using directory = new TemporaryDirectory()
    await using listener = await listenAt(directory.file('run/agent.sock'))
    renameSync(directory.file('run'), directory.file('old'))
    expect(listener.intact()).toBe(false)
  })

  it('a temporary one of an agent that was killed while it bound is swept, a fresh one is not', async () => {
    using directory = new TemporaryDirectory()
    await leaveStaleSocket(directory.file('.icp-agent.0123abcd'))
    await leaveStaleSocket(directory.file('.icp-agent.89abcdef'))
    utimesSync(directory.file('.icp-agent.0123abcd'), 1, 1)
    await using _listener = await listenAt(directory.file('agent.sock'))
    expect(readdirSync(directory.path).sort()).toEqual(['.icp-agent.89abcdef', 'agent.sock'])
  })

  it('stop removes it at once and keeps open connections', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    const connections = unattested(LIMITS, new FakeClock())
    await using listener = await listenAt(path, new RecordedSinks(), connections)
    const client = await connectHere(path)
    await until(() => connections.size === 1)
    listener.stop()
    listener.stop()
    expect(existsSync(path)).toBe(false)
    expect(client.destroyed).toBe(false)
    expect(connections.size).toBe(1)
    client.destroy()
  })
})

describe('the directory of the socket', () => {
  it('that others can write to is tightened with a warning when it is ours', async () => {
    using directory = new TemporaryDirectory()
    mkdirSync(directory.file('open'))
    chmodSync(directory.file('open'), 0o777)
    const sinks = new RecordedSinks()
    await using _listener = await listenAt(directory.file('open/agent.sock'), sinks)
    expect(statSync(directory.file('open')).mode & 0o7777).toBe(0o755)
    expect(sinks.lines).toContainEqual(
      expect.objectContaining({ level: 'warn', fields: expect.objectContaining({ mode: '0777' }) }),
    )
  })

  it('that is sticky is refused as it is: it is shared on purpose', async () => {
    using directory = new TemporaryDirectory()
    mkdirSync(directory.file('shared'))
    chmodSync(directory.file('shared'), 0o1777)
    expect(await codeWhenListening(directory.file('shared/agent.sock'))).toBe('file.unsafe')
    expect(statSync(directory.file('shared')).mode & 0o7777).toBe(0o1777)
  })

  it('below an ancestor that somebody else can write to is refused', async () => {
    using directory = new TemporaryDirectory()
    mkdirSync(directory.file('open/run'), { recursive: true })
    chmodSync(directory.file('open'), 0o777)
    expect(await codeWhenListening(directory.file('open/run/agent.sock'))).toBe('file.unsafe')
    expect(readdirSync(directory.file('open/run'))).toEqual([])
  })

  it.runIf(root)('that belongs to somebody else is refused', async () => {
    using directory = new TemporaryDirectory()
    mkdirSync(directory.file('theirs'))
    chownSync(directory.file('theirs'), 65534, 65534)
    expect(await codeWhenListening(directory.file('theirs/agent.sock'))).toBe('file.unsafe')
  })

  it('that is a file is refused', async () => {
    using directory = new TemporaryDirectory()
    writeFileSync(directory.file('run'), 'x')
    expect(await codeWhenListening(join(directory.file('run'), 'agent.sock'))).toBe('file.unsafe')
    expect(readFileSync(directory.file('run'), 'utf8')).toBe('x')
  })
})

describe('a socket that is lost', () => {
  it('is told since when, as the listener found it, however often one asks', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    const clock = new FakeClock()
    const stop = new AbortController()
    await using listener = await listenAt(path, new RecordedSinks(), unattested(LIMITS, clock), clock)
    const watching = listener.watch(stop.signal)
    expect(listener.lostSince()).toBeNull()
    rmSync(path)
    const asked = clock.now()
    expect(listener.lostSince()).toBe(asked)
    await clock.advance('4s')
    // Asking keeps nothing: what is not found yet is lost now.
    expect(listener.lostSince()).toBe(asked + 4_000)
    await clock.advance('1s')
    await clock.advance('1m')
    expect(listener.lostSince()).toBe(asked + 5_000)
    stop.abort()
    await watching
    expect(clock.pending).toBe(0)
  })
})

describe('a socket of somebody else', () => {
  it.runIf(root)('is connected to by everybody: attestation decides', async () => {
    using directory = new TemporaryDirectory()
    chmodSync(directory.path, 0o755)
    const path = directory.file('agent.sock')
    const connections = unattested(LIMITS, new FakeClock())
    await using _listener = await listenAt(path, new RecordedSinks(), connections)
    await using client = await Client.start({ uid: 65534, gid: 65534 })
    await client.connect(path)
    await until(() => connections.size === 1)
    expect(connections.size).toBe(1)
  })

  it('that is too busy to accept counts as alive', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('agent.sock')
    const fd = listeningDescriptor(path, 0)
    const waiting = await connectHere(path)
    await expect(connectHere(path)).rejects.toMatchObject({ code: 'EAGAIN' })
    expect(await codeWhenListening(path)).toBe('agent.already_running')
    expect(existsSync(path)).toBe(true)
    waiting.destroy()
    closeSync(fd)
  })
})

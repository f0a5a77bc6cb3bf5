import { closeSync, openSync, readdirSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import koffi from 'koffi'
import { describe, expect, it } from 'vitest'
import type { Caller } from '../../agent/attestation/caller.js'
import { AgentError, codeOf, type ErrorCode } from '../../agent/errors.js'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { createLinuxKernel } from '../../agent/platform/linux-kernel.js'
import { socketDirectory } from '../../agent/platform/socket-directory.js'
import type { Kernel } from '../../agent/ports/kernel.js'
import type { Connection } from '../../agent/workload-api/connection.js'
import type { ConnectionLimits } from '../../agent/workload-api/connections.js'
import type { Fairness } from '../../agent/workload-api/fairness.js'
import { FakeClock } from '../fakes/clock.js'
import { fairnessWith } from '../fakes/fairness.js'
import { FakeKernel } from '../fakes/kernel.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { until } from '../support/until.js'
import { Client } from './support/client.js'
import { listen, unattested } from './support/listen.js'
import { connectHere, listeningDescriptor, TemporaryDirectory } from './support/sockets.js'

const LIMITS: ConnectionLimits = {
  connections: 100,
  connectionsPerSubject: 100,
  connectionsPerPid: 100,
  idleConnectionMs: 10_000,
}

async function setting(
  options: {
    limits?: Partial<ConnectionLimits>
    kernel?: Kernel
    onConnection?: (c: Connection) => void
    looked?: (caller: Caller) => void
    fairness?: (clock: FakeClock, sinks: RecordedSinks) => Fairness
  } = {},
) {
  const directory = new TemporaryDirectory()
  const path = directory.file('agent.sock')
  const sinks = new RecordedSinks()
  const clock = new FakeClock()
  const taken: Connection[] = []
  const onConnection = (connection: Connection) => {
    taken.push(connection)
    connection.socket.resume()
  }
  const connections = unattested({ ...LIMITS, ...options.limits }, clock, options.looked)
  const listener = await listen({
    socketPath: path,
    directory: socketDirectory,
    kernel: options.kernel ?? createLinuxKernel(),
    connections,
    subjectOf: (caller) => `uid:${caller.uid}`,
    clock,
    events: callerEvents(sinks, clock),
    fairness: options.fairness?.(clock, sinks) ?? fairnessWith(clock, {}, sinks),
    onConnection: options.onConnection ?? onConnection,
  })
  return {
    path,
    sinks,
    clock,
    listener,
    connections,
    taken,
    async next(): Promise<Connection> {
      await until(() => taken.length > 0)
      const connection = taken.shift()
      if (!connection) throw new Error('nobody connected')
      return connection
    },
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]()
      directory[Symbol.dispose]()
    },
  }
}

async function closed(socket: Socket): Promise<void> {
  socket.resume()
  if (socket.closed) return
  await new Promise<void>((resolve) => socket.once('close', () => resolve()))
}

describe('the listener', () => {
  it('hands over each connection with its caller, under a name that a handler can find', async () => {
    await using s = await setting()
    await using client = await Client.start()
    await client.connect(s.path)
    const { caller, id, socket } = await s.next()
    if ('error' in caller) throw caller.error
    expect(caller).toMatchObject({ pid: client.pid, executable: caller.process.executable() })
    expect(id).toBe('c1')
    expect(socket.remoteAddress).toBe('c1')
    expect(s.sinks.gauges.get('icp_agent_connections')?.()).toEqual([{ value: 1 }])
    await client.end()
    await until(() => s.connections.size === 0)
  })

  it('hands over a caller that nobody knows with the reason, so that it gets a status', async () => {
    const kernel = new FakeKernel()
    await using s = await setting({ kernel })
    const client = await connectHere(s.path)
    const { caller } = await s.next()
    expect('error' in caller && caller.error.code).toBe('caller.unidentified')
    expect(s.sinks.events('warn')).toEqual(['Caller not identified'])
    client.destroy()
  })

  it('closes it after a moment where the kernel could not be asked, so that it is asked about the next one', async () => {
    await using s = await setting({ kernel: new FakeKernel() })
    const client = await connectHere(s.path)
    await s.next()
    await s.clock.advance('1s')
    await closed(client)
    await until(() => s.connections.size === 0)
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'unidentified' })).toBe(1)
    const other = await connectHere(s.path)
    await s.next()
    other.destroy()
    await until(() => s.connections.size === 0)
    expect(s.clock.pending).toBe(0)
  })

  it('keeps one whose caller it can never see: the status says what to do', async () => {
    const kernel = new FakeKernel()
    kernel.peerOf = () => {
      throw new AgentError('caller.foreign_pid_namespace', 'run the agent with hostPID')
    }
    await using s = await setting({ kernel })
    const client = await connectHere(s.path)
    await s.next()
    await s.clock.advance('2s')
    expect(s.connections.size).toBe(1)
    client.destroy()
  })

  it('says that callers are hidden from a refusal for their PID namespace until one is identified', async () => {
    const kernel = new FakeKernel()
    const refuse = (code: ErrorCode) => () => {
      throw new AgentError(code, 'run the agent with hostPID')
    }
    await using s = await setting({ kernel })
    const callWith = async (peerOf: Kernel['peerOf']) => {
      kernel.peerOf = peerOf
      const client = await connectHere(s.path)
      await s.next()
      client.destroy()
      return s.listener.callersHidden
    }
    const other = new FakeKernel()
    const identified = () => other.peer(other.spawn())
    expect(s.listener.callersHidden).toBe(false)
    expect(await callWith(refuse('caller.unidentified'))).toBe(false)
    expect(await callWith(refuse('caller.foreign_pid_namespace'))).toBe(true)
    expect(await callWith(refuse('caller.unidentified'))).toBe(true)
    expect(await callWith(identified)).toBe(false)
  })

  it('drops what is over a limit at once and serves the others', async () => {
    await using s = await setting({ limits: { connectionsPerPid: 2 } })
    await using other = await Client.start()
    const sockets = [await connectHere(s.path), await connectHere(s.path), await connectHere(s.path)]
    await closed(sockets[2] as Socket)
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'limit_pid' })).toBe(1)
    await other.connect(s.path)
    await until(() => s.taken.length === 3)
    expect(s.connections.size).toBe(3)
    for (const socket of sockets) socket.destroy()
    await until(() => s.connections.size === 1)
  })

  it("takes all that wait in the kernel's queue in one turn of the event loop", async () => {
    await using s = await setting({
      limits: { connections: 1_000, connectionsPerSubject: 1_000, connectionsPerPid: 1_000 },
    })
    // Each is in the queue as soon as this returns; nothing is accepted before.
    const sockets = Array.from({ length: 300 }, () => connect(s.path).on('error', () => undefined))
    while (s.taken.length === 0) await new Promise((resolve) => setImmediate(resolve))
    expect(s.taken).toHaveLength(300)
    expect(new Set(s.taken.map(({ id }) => id)).size).toBe(300)
    for (const socket of sockets) socket.destroy()
    await until(() => s.connections.size === 0)
  })

  it('closes what is over the rate of a process before it looks at the process, and serves the others', async () => {
    const rate = { perSecond: 1, burst: 20 }
    const kernel = createLinuxKernel()
    let looks = 0
    const looking = new Proxy(kernel, {
      get: (target, name) => {
        if (name === 'peerOf') looks++
        const value: unknown = Reflect.get(target, name)
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
    await using s = await setting({
      kernel: looking,
      fairness: (clock, sinks) => fairnessWith(clock, { connections: rate }, sinks),
    })
    await using other = await Client.start()
    await other.connect(s.path)
    await until(() => s.taken.length === 1)
    const before = readdirSync('/proc/self/fd').length
    const refused = Array.from({ length: 200 }, () =>
      connect(s.path)
        .on('error', () => undefined)
        .resume(),
    )
    await until(() => refused.filter((socket) => socket.closed).length === 190)
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'rate_process' })).toBe(190)
    expect(looks).toBe(11)
    await other.connect(s.path)
    await until(() => s.taken.length === 12)
    for (const socket of refused) socket.destroy()
    await until(() => s.connections.size === 2)
    // One connection more than before: its socket, the pidfd and /proc/PID of its caller.
    expect(readdirSync('/proc/self/fd').length).toBeLessThanOrEqual(before + 3)
    kernel[Symbol.dispose]()
  })

  it('leaves no descriptor of a process whose connection it turned away', async () => {
    await using s = await setting({ limits: { connectionsPerPid: 1 } })
    const first = await connectHere(s.path)
    await until(() => s.taken.length === 1)
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 20; i++) await closed(await connectHere(s.path))
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    first.destroy()
  })

  it('2,000 connections that say nothing are limited, closed when idle, and keep nobody else out', async () => {
    await using s = await setting({
      limits: { connections: 4000, connectionsPerSubject: 4000, connectionsPerPid: 500 },
    })
    await using other = await Client.start()
    const sockets: Socket[] = []
    for (let i = 0; i < 2000; i++) sockets.push(await connectHere(s.path))
    for (const socket of sockets) socket.on('error', () => socket.destroy()).resume()
    await until(() => sockets.filter((socket) => socket.closed).length === 1500)
    await other.connect(s.path)
    await until(() => s.connections.size === 501)
    await s.clock.advance('10s')
    await until(() => s.connections.size === 0 && sockets.every((socket) => socket.closed))
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'limit_pid' })).toBe(1500)
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'idle' })).toBe(501)
  })

  it('a consumer that fails costs its connection, nothing else', async () => {
    let fail = true
    const taken: Connection[] = []
    await using s = await setting({
      onConnection: (connection) => {
        if (fail) throw new Error('a defect')
        taken.push(connection)
      },
    })
    const before = readdirSync('/proc/self/fd').length
    await closed(await connectHere(s.path))
    expect(readdirSync('/proc/self/fd').length).toBe(before)
    expect(s.sinks.events('error')).toHaveLength(1)
    fail = false
    const client = await connectHere(s.path)
    await until(() => taken.length === 1)
    expect(s.connections.size).toBe(1)
    client.destroy()
  })

  it('a caller that ends while it is looked at is no defect', async () => {
    await using s = await setting({
      looked: () => {
        throw new AgentError('caller.exited', 'it has ended')
      },
    })
    await closed(await connectHere(s.path))
    expect(s.sinks.events('error')).toEqual([])
    expect(s.sinks.total('icp_agent_connections_refused_total', { reason: 'exited' })).toBe(1)
  })

  it('a full table of descriptors refuses connections and ends nothing', async () => {
    await using s = await setting()
    await using client = await Client.start()
    using table = new DescriptorTable(readdirSync('/proc/self/fd').length + 20)
    table.fill()
    client.tell(`connect ${s.path}`)
    await client.hears('closed')
    table.free(2)
    // Enough to accept, not to look at the process: the connection is told so.
    client.tell(`connect ${s.path}`)
    const { caller } = await s.next()
    expect('error' in caller && caller.error.code).toBe('caller.unidentified')
    table[Symbol.dispose]()
    await client.connect(s.path)
    expect('error' in (await s.next()).caller).toBe(false)
  })

  it('serves a listening socket that it inherited, and leaves its file alone', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('inherited.sock')
    const taken: Connection[] = []
    await using listener = await listen({
      fd: listeningDescriptor(path, 128),
      kernel: createLinuxKernel(),
      connections: unattested(LIMITS, new FakeClock()),
      subjectOf: () => 'all',
      clock: new FakeClock(),
      events: callerEvents(new RecordedSinks(), new FakeClock()),
      fairness: fairnessWith(new FakeClock()),
      onConnection: (connection) => taken.push(connection),
    })
    const client = await connectHere(path)
    await until(() => taken.length > 0)
    expect(taken[0]?.caller).toMatchObject({ pid: process.pid })
    expect(listener.intact()).toBe(true)
    listener.stop()
    expect(readdirSync(directory.path)).toEqual(['inherited.sock'])
    client.destroy()
  })

  it('refuses to serve a TCP socket: nobody says who calls there', async () => {
    const parent = createServer()
    await new Promise<void>((resolve) => parent.listen(0, '127.0.0.1', resolve))
    const handle: unknown = Reflect.get(parent, '_handle')
    if (typeof handle !== 'object' || handle === null || !('fd' in handle)) throw new Error('no descriptor')
    const fd = koffi.load(null).func('dup', 'int', ['int'])(handle.fd)
    const attempt = listen({
      fd,
      kernel: createLinuxKernel(),
      connections: unattested(LIMITS, new FakeClock()),
      subjectOf: () => 'all',
      clock: new FakeClock(),
      events: callerEvents(new RecordedSinks(), new FakeClock()),
      fairness: fairnessWith(new FakeClock()),
      onConnection: () => {},
    })
    expect(await attempt.then(() => 'listening', codeOf)).toBe('config.invalid')
    parent.close()
  })
})

/** The table of open files of this process, made small and filled up. */
class DescriptorTable implements Disposable {
  readonly #prlimit = koffi.load(null).func('prlimit', 'int', ['int', 'int', 'void *', 'void *'])
  readonly #before = Buffer.alloc(16)
  readonly #fillers: number[] = []

  constructor(soft: number) {
    this.#set(null, this.#before)
    const lowered = Buffer.from(this.#before)
    lowered.writeBigUInt64LE(BigInt(soft), 0)
    this.#set(lowered, null)
  }

  fill(): void {
    try {
      for (;;) this.#fillers.push(openSync('/dev/null', 'r'))
    } catch (error) {
      expect(error).toMatchObject({ code: 'EMFILE' })
    }
  }

  free(count: number): void {
    for (const fd of this.#fillers.splice(0, count)) closeSync(fd)
  }

  [Symbol.dispose](): void {
    this.free(this.#fillers.length)
    this.#set(this.#before, null)
  }

  #set(to: Buffer | null, old: Buffer | null): void {
    const RLIMIT_NOFILE = 7
    if (this.#prlimit(0, RLIMIT_NOFILE, to, old) !== 0) throw new Error('prlimit failed')
  }
}

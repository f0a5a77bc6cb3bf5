import { afterEach, describe, expect, it } from 'vitest'
import { callerEvents } from '../../../../agent/observability/caller-events.js'
import type { StartThread } from '../../../../attestors/unix/digest-thread.js'
import type { DigestAnswer, DigestOrder } from '../../../../attestors/unix/digest-worker.js'
import { ExecutableDigests } from '../../../../attestors/unix/executable.js'
import { FakeClock, settle } from '../../../fakes/clock.js'
import { programAt } from '../../../fakes/program.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

/**
 * A thread that answers each order with its path as digest. It hangs at paths that begin with `/dead`, and reads those that
 * begin with `/slow` for ever: `tell` ends a turn.
 */
class FakeThread {
  readonly orders: DigestOrder[] = []
  terminated = false
  steps = 0
  at = 0
  constructor(
    private readonly answered: (answer: DigestAnswer) => void,
    readonly died: (error: unknown) => void,
  ) {}
  post(order: DigestOrder): void {
    if (this.at !== 0) throw new TypeError('told to read two files at a time')
    this.orders.push(order)
    this.steps++
    this.at = order.id
    if (!/^\/(dead|slow)/.test(order.path)) queueMicrotask(() => this.terminated || this.finish(order))
  }
  progress() {
    return { request: this.at, steps: this.steps }
  }
  terminate(): void {
    this.terminated = true
  }
  /** A mebibyte was read, and there is more. */
  tell(): void {
    const id = this.at
    this.at = 0
    this.answered({ id, kind: 'more', key: `v${id}` })
  }
  /** What hung, or was slow, has been read. */
  finish({ id, path }: { id: number; path: string } = { id: this.at, path: '/late' }): void {
    this.at = 0
    this.answered({ id, kind: 'digest', sha256: path, device: BigInt(path.length), inode: inodeOf(path) })
  }
}

const inodes = new Map<string, bigint>()
/** Another one for each path. */
const inodeOf = (path: string): bigint => {
  const inode = inodes.get(path) ?? BigInt(inodes.size + 1)
  inodes.set(path, inode)
  return inode
}

const programs: ReturnType<typeof programAt>[] = []
const settings: ExecutableDigests[] = []

afterEach(() => {
  for (const digests of settings.splice(0)) digests[Symbol.dispose]()
  for (const { file, holds } of programs.splice(0)) expect([file, holds]).toEqual([file, 0])
})

const program = (path: string, device: bigint) => {
  const one = programAt(path, { device, inode: inodeOf(path), mount: 1n })
  programs.push(one)
  return one
}

function setting(maxBytes = 100) {
  const clock = new FakeClock()
  const sinks = new RecordedSinks()
  const threads: FakeThread[] = []
  /** The system has no room for another thread. */
  const full = { is: false }
  const start: StartThread = (answered, died) => {
    if (full.is) throw new Error('ERR_WORKER_INIT_FAILED')
    const thread = new FakeThread(answered, died)
    threads.push(thread)
    return thread
  }
  const digests = new ExecutableDigests({ clock, events: callerEvents(sinks, clock), maxBytes, stallMs: 500, start })
  settings.push(digests)
  const ask = (path: string, signal = new AbortController().signal, device = BigInt(path.length), uid = 0) =>
    digests.digest(program(path, device), `uid:${uid}`, signal)
  /** Asks as somebody who can give up. */
  const askAs = (uid: number, path: string) => {
    const gone = new AbortController()
    return { answer: ask(path, gone.signal, undefined, uid), giveUp: () => gone.abort() }
  }
  /** Paths that the first thread was told to read, in that order. */
  const read = () => (threads[0]?.orders ?? []).map(({ path }) => path)
  return { clock, sinks, threads, digests, ask, askAs, read, full }
}

describe('digests of executables', () => {
  it('one thread, started with the first request, serves all', async () => {
    const { ask, threads, clock } = setting()
    expect(threads).toHaveLength(0)
    const found = await Promise.all(['/a', '/bb', '/ccc'].map((path) => ask(path)))
    expect(found).toEqual(['/a', '/bb', '/ccc'].map((sha256) => ({ kind: 'digest', sha256 })))
    expect(threads).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  it('a limit of 0 switches them off: no thread is started', async () => {
    const { ask, threads } = setting(0)
    expect(await ask('/a')).toMatchObject({ kind: 'absent' })
    expect(threads).toHaveLength(0)
  })

  it('hold a program open until the thread has no use for it, also when nobody waits any more', async () => {
    const { askAs, threads } = setting()
    const { answer, giveUp } = askAs(1, '/slow')
    const waiting = Array.from({ length: 20 }, (_, i) => askAs(1, `/slow-${i}`))
    await settle()
    const [first, ...rest] = programs.splice(0)
    expect([first, ...rest].map((one) => one?.holds)).toEqual(Array(21).fill(1))
    for (const one of [...waiting].reverse()) one.giveUp()
    giveUp()
    await settle()
    // The thread has not closed it yet.
    expect([first, ...rest].map((one) => one?.holds)).toEqual([1, ...Array(20).fill(0)])
    expect(await answer).toMatchObject({ kind: 'unknown' })
    threads[0]?.tell()
    expect(first?.holds).toBe(0)
  })

  it('of another file than the process ran at accept is none', async () => {
    const { ask } = setting()
    expect(await ask('/a', undefined, 99n)).toMatchObject({ kind: 'absent' })
  })

  it('a file system that hangs holds up its own callers, the others are served by another thread', async () => {
    const { ask, threads, clock, sinks, digests } = setting()
    const dead = ask('/dead')
    const other = ask('/other-device')
    await clock.advance('1s')
    expect(await dead).toMatchObject({ kind: 'unknown' })
    expect(await other).toMatchObject({ kind: 'digest', sha256: '/other-device' })
    expect(threads).toHaveLength(2)
    expect(digests.stuck).toBe(1)
    expect(sinks.events('warn')).toHaveLength(1)
  })

  it('its device is left alone for as long as the thread hangs, and asked again when it is back', async () => {
    const { ask, threads, clock, digests, sinks } = setting()
    const dead = ask('/dead')
    await clock.advance('1s')
    await dead
    await clock.advance('1h')
    expect(await ask('/usr2')).toMatchObject({ kind: 'unknown' })
    expect(threads).toHaveLength(1)
    threads[0]?.finish()
    expect(threads[0]?.terminated).toBe(true)
    expect(digests.stuck).toBe(0)
    expect(sinks.events('info')).toHaveLength(1)
    expect(await ask('/usr2')).toMatchObject({ kind: 'digest' })
  })

  it('the thread that takes over is judged by itself', async () => {
    const { ask, threads, clock, digests } = setting()
    const dead = ask('/dead')
    const slow = ask('/dead-slow')
    await clock.advance('1s')
    await dead
    expect(threads).toHaveLength(2)
    for (let i = 0; i < 5; i++) {
      const [, thread] = threads
      if (thread) thread.steps++
      await clock.advance('400ms')
    }
    expect(digests.stuck).toBe(1)
    threads[1]?.finish({ id: 2, path: '/dead-slow' })
    expect(await slow).toEqual({ kind: 'digest', sha256: '/dead-slow' })
    expect(clock.pending).toBe(0)
  })

  it('no more than four threads are given up', async () => {
    const { ask, threads, clock, digests } = setting()
    for (const [uid, path] of ['/dead', '/dead1', '/dead12', '/dead123', '/dead1234'].entries()) {
      const asked = ask(path, undefined, undefined, uid)
      await clock.advance('2s')
      expect(await asked).toMatchObject({ kind: 'unknown' })
    }
    expect(digests.stuck).toBe(4)
    expect(threads).toHaveLength(4)
    expect(await ask('/a')).toMatchObject({ kind: 'unknown' })
    threads[1]?.finish()
    expect(await ask('/a')).toMatchObject({ kind: 'digest' })
  })

  it('one subject takes two of them at most, whatever file systems it brings', async () => {
    const { ask, threads, clock, digests } = setting()
    for (const path of ['/dead', '/dead1', '/dead12', '/dead123']) {
      const asked = ask(path, undefined, undefined, 1)
      await clock.advance('2s')
      expect(await asked).toMatchObject({ kind: 'unknown' })
    }
    expect(digests.stuck).toBe(2)
    expect(await ask('/a', undefined, undefined, 2)).toMatchObject({ kind: 'digest' })
    threads[0]?.finish()
    expect(await ask('/a', undefined, undefined, 1)).toMatchObject({ kind: 'digest' })
  })

  it('a thread that is slow but moves on is left to work', async () => {
    const { ask, threads, clock, digests } = setting()
    const slow = ask('/dead')
    await settle()
    for (let i = 0; i < 20; i++) {
      await clock.advance('400ms')
      const [thread] = threads
      if (thread) thread.steps++
    }
    expect(digests.stuck).toBe(0)
    threads[0]?.finish({ id: 1, path: '/dead' })
    expect(await slow).toEqual({ kind: 'digest', sha256: '/dead' })
    expect(clock.pending).toBe(0)
  })

  it('who runs out of time does not wait', async () => {
    const { ask, digests } = setting()
    const controller = new AbortController()
    const dead = ask('/dead', controller.signal)
    await settle()
    controller.abort()
    expect(await dead).toMatchObject({ kind: 'unknown' })
    expect(await ask('/x', controller.signal)).toMatchObject({ kind: 'unknown' })
    digests[Symbol.dispose]()
  })

  it('a thread that dies is replaced by the next request', async () => {
    const { ask, threads, sinks } = setting()
    const dead = ask('/dead')
    await settle()
    threads[0]?.died(new Error('out of memory'))
    expect(await dead).toMatchObject({ kind: 'unknown' })
    expect(sinks.events('error')).toHaveLength(1)
    expect(await ask('/a')).toMatchObject({ kind: 'digest' })
  })

  it('a thread that cannot be started when another one died leaves nobody waiting, and is tried again', async () => {
    const { ask, threads, sinks, clock, full } = setting()
    const asked = Array.from({ length: 20 }, (_, i) => ask(`/slow-${i}`))
    await settle()
    full.is = true
    // Must not throw: this is an event of the thread, and nobody would catch it.
    threads[0]?.died(new Error('out of memory'))
    for (const answer of asked) expect(await answer).toMatchObject({ kind: 'unknown' })
    expect(await ask('/a')).toMatchObject({ kind: 'unknown', reason: 'no thread can be started' })
    // That it died, and that no other can be started; not once for each who asks.
    expect(sinks.events('error')).toHaveLength(2)
    await clock.advance('1s')
    expect(clock.pending).toBe(0)
    full.is = false
    expect(await ask('/a')).toMatchObject({ kind: 'digest' })
    expect(threads).toHaveLength(2)
  })

  it('the end of the agent settles what is open and leaves no timer', async () => {
    const { ask, digests, clock, threads } = setting()
    const dead = ask('/dead')
    await settle()
    digests[Symbol.dispose]()
    expect(await dead).toMatchObject({ kind: 'unknown' })
    expect(clock.pending).toBe(0)
    expect(threads[0]?.terminated).toBe(true)
  })
})

describe('many digests at a time', () => {
  const slow = (uid: number, count: number) => Array.from({ length: count }, (_, i) => `/slow-${uid}-${i}`)

  it('that one subject asks for do not keep another one waiting', async () => {
    const { askAs, ask, threads } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    const honest = ask('/honest', undefined, undefined, 2)
    threads[0]?.tell()
    expect(await honest).toMatchObject({ kind: 'digest' })
  })

  it('of one subject go round: a small file does not wait for all of the large ones before it', async () => {
    const { askAs, ask, read, threads } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    const small = ask('/small', undefined, undefined, 1)
    for (let i = 0; i < 40; i++) threads[0]?.tell()
    expect(await small).toMatchObject({ kind: 'digest' })
    await settle()
    expect(read()).toEqual([...slow(1, 40), '/small', '/slow-1-0'])
  })

  it('are read in turn by subject, however many each asks for', async () => {
    const { askAs, read, threads } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    for (const uid of [2, 3]) for (const path of slow(uid, 3)) void askAs(uid, path)
    for (let i = 0; i < 6; i++) threads[0]?.tell()
    expect(read().map((path) => path.slice(0, 7))).toEqual([
      '/slow-1',
      '/slow-2',
      '/slow-3',
      '/slow-1',
      '/slow-2',
      '/slow-3',
      '/slow-1',
    ])
  })

  it('go on in the version of the file that was begun', async () => {
    const { askAs, threads } = setting()
    void askAs(1, '/slow')
    threads[0]?.tell()
    expect(threads[0]?.orders.map(({ key }) => key)).toEqual([null, 'v1'])
  })

  it('are read a mebibyte at a time, and sixteen while nobody else waits', async () => {
    const { askAs, threads } = setting()
    void askAs(1, '/slow')
    void askAs(1, '/slow-too')
    for (let i = 0; i < 2; i++) threads[0]?.tell()
    expect(threads[0]?.orders.map(({ pieces }) => pieces)).toEqual([64, 4, 4])
  })

  it('of one file are read once for all who wait for it', async () => {
    const { askAs, read, threads } = setting()
    const asked = [1, 2, 2, 3].map((uid) => askAs(uid, '/slow'))
    threads[0]?.finish({ id: 1, path: '/slow' })
    for (const { answer } of asked) expect(await answer).toEqual({ kind: 'digest', sha256: '/slow' })
    expect(read()).toEqual(['/slow'])
  })

  it('are not begun, nor gone on with, when nobody asks for them any more', async () => {
    const { askAs, read, threads, clock } = setting()
    const asked = slow(1, 40).map((path) => askAs(1, path))
    for (const { giveUp } of asked) giveUp()
    threads[0]?.tell()
    await settle()
    expect(read()).toEqual(['/slow-1-0'])
    expect(clock.pending).toBe(0)
  })
})

import { afterEach, describe, expect, it } from 'vitest'
import { callerEvents } from '../../../../agent/observability/caller-events.js'
import type { StartThread } from '../../../../attestors/unix/digest-thread.js'
import type { DigestAnswer, DigestOrder, DigestRequest } from '../../../../attestors/unix/digest-worker.js'
import { ExecutableDigests } from '../../../../attestors/unix/executable.js'
import { FakeClock, settle } from '../../../fakes/clock.js'
import { programAt } from '../../../fakes/program.js'
import { RecordedSinks } from '../../../fakes/sinks.js'

/** A thread that answers each request with its path as digest, and hangs at paths that begin with `/dead`; `/slow` it reads for ever. */
class FakeThread {
  readonly waiting: DigestRequest[] = []
  /** Being read. */
  readonly open = new Map<number, DigestRequest>()
  terminated = false
  steps = 0
  at = 0
  constructor(
    private readonly answered: (answer: DigestAnswer) => void,
    readonly died: (error: unknown) => void,
  ) {}
  post(order: DigestOrder): void {
    if (!('drop' in order)) {
      this.waiting.push(order)
      queueMicrotask(() => this.work())
    } else if (this.open.delete(order.drop)) {
      queueMicrotask(() => this.answered({ id: order.drop, kind: 'dropped' }))
    }
  }
  progress() {
    return { request: this.at, steps: this.steps }
  }
  terminate(): void {
    this.terminated = true
  }
  work(): void {
    if (this.at !== 0 || this.terminated) return
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) {
      this.steps++
      if (next.path.startsWith('/slow')) {
        this.open.set(next.id, next)
        continue
      }
      this.at = next.id
      if (next.path.startsWith('/dead')) return
      this.finish(next)
    }
  }
  /** Says of each file that it reads that it goes on. */
  tell(): void {
    for (const id of [...this.open.keys()]) this.answered({ id, kind: 'reading' })
  }
  /** What hung goes on. */
  finish({ id, path }: { id: number; path: string } = { id: this.at, path: '/late' }): void {
    this.at = 0
    this.answered({ id, kind: 'digest', sha256: path, device: BigInt(path.length), inode: 1n })
  }
}

const programs: ReturnType<typeof programAt>[] = []
const settings: ExecutableDigests[] = []

afterEach(() => {
  for (const digests of settings.splice(0)) digests[Symbol.dispose]()
  for (const { file, holds } of programs.splice(0)) expect([file, holds]).toEqual([file, 0])
})

const program = (path: string, device: bigint) => {
  const one = programAt(path, { device, inode: 1n, mount: 1n })
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
  /** Paths that the thread reads now. */
  const open = () => [...(threads[0]?.open.values() ?? [])].map(({ path }) => path)
  return { clock, sinks, threads, digests, ask, askAs, open, full }
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
    // The one that is read on for nobody.
    expect([first, ...rest].map((one) => one?.holds)).toEqual([1, ...Array(20).fill(0)])
    expect(await answer).toMatchObject({ kind: 'unknown' })
    const [thread] = threads
    for (const request of [...(thread?.open.values() ?? [])]) thread?.finish(request)
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
    for (const path of ['/dead', '/dead1', '/dead12', '/dead123', '/dead1234']) {
      const asked = ask(path)
      await clock.advance('2s')
      expect(await asked).toMatchObject({ kind: 'unknown' })
    }
    expect(digests.stuck).toBe(4)
    expect(threads).toHaveLength(4)
    expect(await ask('/a')).toMatchObject({ kind: 'unknown' })
    threads[1]?.finish()
    expect(await ask('/a')).toMatchObject({ kind: 'digest' })
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

  it('take sixteen places of the thread, and the others wait', async () => {
    const { askAs, open, digests } = setting()
    const asked = slow(1, 40).map((path) => askAs(1, path))
    await settle()
    expect(open()).toEqual(slow(1, 16))
    digests[Symbol.dispose]()
    for (const { answer } of asked) expect(await answer).toMatchObject({ kind: 'unknown' })
  })

  it('that one subject asks for do not keep another one waiting', async () => {
    const { askAs, ask, open, digests } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    await settle()
    expect(await ask('/honest', undefined, undefined, 2)).toMatchObject({ kind: 'digest' })
    await settle()
    // Whoever made room is not forgotten.
    expect(open()).toHaveLength(16)
    expect(new Set(open()).size).toBe(16)
    digests[Symbol.dispose]()
  })

  it('of one subject go round: a small file does not wait for all of the large ones before it', async () => {
    const { askAs, ask, open, threads, digests } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    const small = ask('/small', undefined, undefined, 1)
    await settle()
    for (let i = 0; i < 2; i++) {
      threads[0]?.tell()
      await settle()
    }
    expect(await small).toMatchObject({ kind: 'digest' })
    // The first are back, behind those that had not been read.
    expect(new Set(open())).toEqual(new Set([...slow(1, 40).slice(32), ...slow(1, 8)]))
    digests[Symbol.dispose]()
  })

  it('keep their places while nobody waits', async () => {
    const { askAs, open, threads, digests } = setting()
    for (const path of slow(1, 16)) void askAs(1, path)
    await settle()
    threads[0]?.tell()
    await settle()
    expect(open()).toEqual(slow(1, 16))
    expect(threads[0]?.steps).toBe(16)
    digests[Symbol.dispose]()
  })

  it('share the places evenly among those who ask for more than one', async () => {
    const { askAs, open, digests } = setting()
    for (const path of slow(1, 40)) void askAs(1, path)
    await settle()
    for (const uid of [2, 3, 4]) for (const path of slow(uid, 40)) void askAs(uid, path)
    await settle()
    for (const uid of [2, 3, 4]) expect(open().some((path) => path.startsWith(`/slow-${uid}`))).toBe(true)
    expect(open()).toHaveLength(16)
    digests[Symbol.dispose]()
  })

  it('are closed when nobody waits for them any more, but for one of each subject', async () => {
    const { askAs, open, digests } = setting()
    const asked = [1, 2].flatMap((uid) => slow(uid, 5).map((path) => askAs(uid, path)))
    await settle()
    for (const { giveUp } of asked) giveUp()
    await settle()
    expect(open()).toEqual(['/slow-1-0', '/slow-2-0'])
    digests[Symbol.dispose]()
  })

  it('that still wait are not begun when nobody asks for them any more', async () => {
    const { askAs, open, threads, digests } = setting()
    const asked = slow(1, 40).map((path) => askAs(1, path))
    await settle()
    for (const { giveUp } of [...asked].reverse()) giveUp()
    await settle()
    expect(open()).toEqual(['/slow-1-0'])
    expect(threads[0]?.steps).toBe(16)
    digests[Symbol.dispose]()
  })

  it('that are read on for nobody make room for whoever waits', async () => {
    const { askAs, ask, open, digests } = setting()
    for (let uid = 1; uid <= 16; uid++) {
      const { giveUp } = askAs(uid, `/slow-${uid}`)
      await settle()
      giveUp()
    }
    expect(open()).toHaveLength(16)
    expect(await ask('/honest', undefined, undefined, 99)).toMatchObject({ kind: 'digest' })
    digests[Symbol.dispose]()
  })

  it('that are read on for nobody make room for another one of the same subject', async () => {
    const { askAs, ask, digests } = setting()
    const { giveUp } = askAs(2, '/slow-2')
    for (const path of slow(1, 15)) void askAs(1, path)
    await settle()
    giveUp()
    expect(await ask('/honest', undefined, undefined, 2)).toMatchObject({ kind: 'digest' })
    digests[Symbol.dispose]()
  })

  it('that gave their place to another subject are read again, and answered', async () => {
    const { askAs, ask, open, threads, digests } = setting()
    const asked = slow(1, 16).map((path) => askAs(1, path))
    await settle()
    await ask('/honest', undefined, undefined, 2)
    await settle()
    expect(new Set(open())).toEqual(new Set(slow(1, 16)))
    const [thread] = threads
    for (const request of [...(thread?.open.values() ?? [])]) {
      thread?.open.delete(request.id)
      thread?.finish(request)
    }
    for (const { answer } of asked) expect(await answer).toMatchObject({ kind: 'digest' })
    digests[Symbol.dispose]()
  })
})

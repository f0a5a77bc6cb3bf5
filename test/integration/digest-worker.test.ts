import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import type { StartThread } from '../../attestors/unix/digest-thread.js'
import { type DigestAnswer, type DigestWorkerData, digestWorkerSource } from '../../attestors/unix/digest-worker.js'
import { ExecutableDigests } from '../../attestors/unix/executable.js'
import { programAt } from '../fakes/program.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { TemporaryDirectory } from './support/sockets.js'

const MIB = 1_048_576

/** A worker in which some code runs first. */
const threadAfter =
  (code: string, maxBytes: number): StartThread =>
  (answered, died) => {
    const progress = new SharedArrayBuffer(8)
    const workerData: DigestWorkerData = { progress, maxBytes, cacheSize: 100 }
    const worker = new Worker(`${code};${digestWorkerSource()}`, { eval: true, workerData })
    worker.on('message', answered)
    worker.on('error', died)
    const steps = new Int32Array(progress)
    return {
      post: (order) => worker.postMessage(order),
      progress: () => ({ request: Atomics.load(steps, 1), steps: Atomics.load(steps, 0) }),
      terminate: () => void worker.terminate(),
    }
  }

/** A worker that is told to read a mebibyte an order. */
function bare() {
  const directory = new TemporaryDirectory()
  const waiting: ((answer: DigestAnswer) => void)[] = []
  const thread = threadAfter('', 100 * MIB)(
    (answer) => waiting.shift()?.(answer),
    () => {},
  )
  let last = 0
  const order = (path: string, key: string | null = null) =>
    new Promise<DigestAnswer>((resolve) => {
      waiting.push(resolve)
      thread.post({ id: ++last, path, key, pieces: 4 })
    })
  /** Zeros that take no room. */
  const sparse = (name: string, size: number) => {
    const path = directory.file(name)
    writeFileSync(path, '')
    truncateSync(path, size)
    return path
  }
  return {
    order,
    sparse,
    /** Orders until the digest is there, the last one included. */
    async ordersUntilDigest(path: string) {
      let answer = await order(path)
      let orders = 1
      for (; answer.kind === 'more'; orders++) answer = await order(path, answer.key)
      return { orders, answer }
    },
    [Symbol.dispose]() {
      thread.terminate()
      directory[Symbol.dispose]()
    },
  }
}

const openIn = (path: string) => readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(path))
const ofZeros = (size: number) => createHash('sha256').update(Buffer.alloc(size)).digest('hex')

describe('the digest worker', () => {
  it('reads a mebibyte an order, and has nothing open in between', async () => {
    using w = bare()
    const path = w.sparse('app', 4 * MIB + 1)
    expect(await w.order(path)).toMatchObject({ kind: 'more' })
    expect(openIn(path)).toEqual([])
    expect(await w.ordersUntilDigest(path)).toMatchObject({ orders: 4, answer: { sha256: ofZeros(4 * MIB + 1) } })
  })

  it('goes on in a file for whoever asks, and remembers its digest', async () => {
    using w = bare()
    const path = w.sparse('app', 8 * MIB)
    // Others read it too, each as if it were alone.
    const [one, other] = [await w.order(path), await w.order(path)]
    expect([one.kind, other.kind]).toEqual(['more', 'more'])
    expect(await w.ordersUntilDigest(path)).toMatchObject({ orders: 7, answer: { sha256: ofZeros(8 * MIB) } })
    expect(await w.ordersUntilDigest(path)).toMatchObject({ orders: 1, answer: { sha256: ofZeros(8 * MIB) } })
  })

  it('begins anew where the file has changed since somebody else began it', async () => {
    using w = bare()
    const path = w.sparse('app', 8 * MIB)
    for (let i = 0; i < 4; i++) await w.order(path)
    utimesSync(path, 1, 1)
    expect(await w.ordersUntilDigest(path)).toMatchObject({ orders: 9, answer: { sha256: ofZeros(8 * MIB) } })
  })

  it('has no digest of a file that changed between two turns of the same caller', async () => {
    using w = bare()
    const path = w.sparse('app', 8 * MIB)
    const begun = await w.order(path)
    utimesSync(path, 1, 1)
    const answer = await w.order(path, begun.kind === 'more' ? begun.key : null)
    expect(answer).toMatchObject({ kind: 'unreadable', reason: 'changed while it was read' })
  })
})

function digestsAfter(code: string) {
  const directory = new TemporaryDirectory()
  let started = 0
  const start: StartThread = (answered, died) => threadAfter(started++ === 0 ? code : '', MIB)(answered, died)
  const sinks = new RecordedSinks()
  const events = callerEvents(sinks, new SystemClock())
  const digests = new ExecutableDigests({ clock: new SystemClock(), events, maxBytes: MIB, stallMs: 50, start })
  const ask = (name: string) => {
    return digests.digest(programAt(directory.file(name)), 'uid:0', new AbortController().signal)
  }
  return {
    directory,
    digests,
    sinks,
    ask,
    threads: () => started,
    [Symbol.dispose]() {
      digests[Symbol.dispose]()
      directory[Symbol.dispose]()
    },
  }
}

const CLOSE = "const fs = process.getBuiltinModule('node:fs'), { closeSync } = fs"

describe('closing a file', () => {
  it.each([
    ['at its end', 1000],
    ['that is too large', MIB + 1],
  ])('%s that fails ends no thread', async (_when, size) => {
    using s = digestsAfter(`${CLOSE}; fs.closeSync = (fd) => { closeSync(fd); throw new Error('EIO') }`)
    writeFileSync(s.directory.file('app'), randomBytes(size))
    writeFileSync(s.directory.file('other'), 'x')
    expect(await s.ask('app')).toMatchObject({ kind: size > MIB ? 'absent' : 'digest' })
    expect(await s.ask('other')).toMatchObject({ kind: 'digest' })
    expect(s.threads()).toBe(1)
    expect(s.sinks.events('error')).toEqual([])
    const open = readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(s.directory.path))
    expect(open).toEqual([])
  })

  it('that hangs is seen, and others are served by another thread', async () => {
    using s = digestsAfter(
      `${CLOSE}; fs.closeSync = (fd) => { closeSync(fd); Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0) }`,
    )
    writeFileSync(s.directory.file('app'), 'x')
    expect(await s.ask('app')).toMatchObject({ kind: 'unknown' })
    expect(s.digests.stuck).toBe(1)
    // What hangs is taken for the device; nothing else of it is read meanwhile.
    const elsewhere = s.digests.digest(
      programAt('/proc/version', { device: 0n, inode: 0n, mount: null }),
      'uid:0',
      new AbortController().signal,
    )
    expect(await elsewhere).toMatchObject({ kind: 'absent' })
    expect(s.threads()).toBe(2)
  })
})

const linkOf = (fd: string) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

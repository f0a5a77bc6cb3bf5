import { createHash, randomBytes } from 'node:crypto'
import { readdirSync, readlinkSync, truncateSync, utimesSync, writeFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import { describe, expect, it } from 'vitest'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import type { StartThread } from '../../attestors/unix/digest-thread.js'
import {
  type DigestAnswer,
  type DigestOrder,
  type DigestWorkerData,
  digestWorkerSource,
} from '../../attestors/unix/digest-worker.js'
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

/** A worker whose answers are kept in their order. It is told to let go at once of what it says of `fleeting` that it reads. */
function bare(fleeting = 0) {
  const directory = new TemporaryDirectory()
  const answers: DigestAnswer[] = []
  const thread = threadAfter('', 100 * MIB)(
    (answer) => {
      answers.push(answer)
      if (answer.kind === 'reading' && answer.id === fleeting) thread.post({ drop: fleeting })
    },
    () => {},
  )
  const of = (kind: DigestAnswer['kind']) => answers.filter((answer) => answer.kind === kind).map(({ id }) => id)
  /** Zeros that take no room. */
  const sparse = (name: string, size: number) => {
    const path = directory.file(name)
    writeFileSync(path, '')
    truncateSync(path, size)
    return path
  }
  return {
    directory,
    answers,
    of,
    sparse,
    post: (...orders: DigestOrder[]) => {
      for (const order of orders) thread.post(order)
    },
    [Symbol.dispose]() {
      thread.terminate()
      directory[Symbol.dispose]()
    },
  }
}

describe('the digest worker', () => {
  it.each([
    ['the other asked for it first', [1, 2]],
    ['the other asked for it too', [2, 1]],
  ])(
    'reads a file in the turns of each who asked for it, whatever else the other asks for: %s',
    async (_how, order) => {
      using w = bare()
      const shared = w.sparse('shared', 8 * MIB)
      const subjects = ['', 'uid:666', 'uid:1']
      w.post(...order.map((id) => ({ id, path: shared, subject: subjects[id] ?? '' })))
      // Half as large: in turns that were the other's alone, each would be done before.
      w.post(
        ...Array.from({ length: 14 }, (_, i) => ({ id: 10 + i, path: w.sparse(`${i}`, 4 * MIB), subject: 'uid:666' })),
      )
      await expect.poll(() => w.of('digest').length).toBe(16)
      expect(w.of('digest').slice(0, 2).sort()).toEqual([1, 2])
    },
  )

  it('says after each mebibyte that it goes on, to each who asked for the file in turn', async () => {
    using w = bare()
    const path = w.sparse('app', 4 * MIB + 1)
    w.post({ id: 1, path, subject: 'uid:1' }, { id: 2, path, subject: 'uid:2' })
    await expect.poll(() => w.of('digest')).toHaveLength(2)
    expect(w.of('reading')).toEqual([1, 2, 1, 2])
  })

  it.each([
    ['goes on where it was', false],
    ['begins anew, where the file has changed,', true],
  ])('%s when it is asked again for a file that it was told to let go of', async (_what, changes) => {
    using w = bare(1)
    const path = w.sparse('app', 64 * MIB)
    w.post({ id: 1, path, subject: 'uid:1' })
    await expect.poll(() => w.of('dropped')).toEqual([1])
    if (changes) utimesSync(path, 1, 1)
    w.post({ id: 2, path, subject: 'uid:1' })
    await expect.poll(() => w.of('digest')).toEqual([2])
    expect(w.answers.at(-1)).toMatchObject({
      sha256: createHash('sha256')
        .update(Buffer.alloc(64 * MIB))
        .digest('hex'),
    })
    const said = w.of('reading').filter((id) => id === 2).length
    expect(said === 63).toBe(changes)
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

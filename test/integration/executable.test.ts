import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import {
  chmodSync,
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { describe, expect, it } from 'vitest'
import { callerEvents } from '../../agent/observability/caller-events.js'
import { SystemClock } from '../../agent/platform/system-clock.js'
import type { StartThread } from '../../attestors/unix/digest-thread.js'
import { workerThread } from '../../attestors/unix/digest-thread.js'
import type { DigestAnswer } from '../../attestors/unix/digest-worker.js'
import { ExecutableDigests } from '../../attestors/unix/executable.js'
import { programAt } from '../fakes/program.js'
import { RecordedSinks } from '../fakes/sinks.js'
import { TemporaryDirectory } from './support/sockets.js'

const sha256 = (content: Buffer) => createHash('sha256').update(content).digest('hex')
const signal = () => new AbortController().signal

const descriptors = () => readdirSync('/proc/self/fd').length
/** Descriptors of this process that lead into the directory. */
const openFiles = (directory: string) =>
  readdirSync('/proc/self/fd').filter((fd) => linkOf(fd).startsWith(directory)).length
const linkOf = (fd: string) => {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`)
  } catch {
    return ''
  }
}

function setting(options: { maxBytes?: number; stallMs?: number } = {}) {
  const directory = new TemporaryDirectory()
  const digests = new ExecutableDigests({
    clock: new SystemClock(),
    events: callerEvents(new RecordedSinks(), new SystemClock()),
    maxBytes: options.maxBytes ?? 1_000_000_000,
    stallMs: options.stallMs ?? 500,
  })
  const ask = (path: string, uid = 0, until = signal()) => digests.digest(programAt(path), `uid:${uid}`, until)
  return {
    directory,
    digests,
    ask,
    [Symbol.dispose]() {
      digests[Symbol.dispose]()
      directory[Symbol.dispose]()
    },
  }
}

/** A thread whose answers are looked at one by one. */
function bareThread(
  cacheSize: number,
): { ask: (path: string) => Promise<DigestAnswer>; steps: () => number } & Disposable {
  const waiting = new Map<number, (answer: DigestAnswer) => void>()
  const start: StartThread = workerThread(1_000_000, cacheSize)
  const thread = start(
    (answer) => waiting.get(answer.id)?.(answer),
    () => {},
  )
  let last = 0
  return {
    ask: (path) =>
      new Promise((resolve) => {
        waiting.set(++last, resolve)
        thread.post({ id: last, path, key: null, pieces: 4 })
      }),
    steps: () => thread.progress().steps,
    [Symbol.dispose]: () => thread.terminate(),
  }
}

describe('the digest thread', () => {
  it('reads files of any size, several at a time, and each once for all who ask', async () => {
    using s = setting()
    const contents = [0, 1, 1_048_576, 5_000_001].map((size) => randomBytes(size))
    const paths = contents.map((content, i) => {
      writeFileSync(s.directory.file(`f${i}`), content)
      return s.directory.file(`f${i}`)
    })
    const found = await Promise.all([...paths, ...paths].map((path) => s.ask(path)))
    expect(found).toEqual([...contents, ...contents].map((content) => ({ kind: 'digest', sha256: sha256(content) })))
  })

  it('says the digest of the file that was given, whatever bears its path by then', async () => {
    using s = setting()
    const path = s.directory.file('app')
    writeFileSync(path, 'one')
    const fd = openSync(path, 'r')
    writeFileSync(s.directory.file('new'), 'two')
    const { id } = programAt(path)
    renameSync(s.directory.file('new'), path)
    const held = await s.digests.digest(programAt(`/proc/self/fd/${fd}`), 'uid:0', signal())
    expect(held).toEqual({ kind: 'digest', sha256: sha256(Buffer.from('one')) })
    expect(await s.digests.digest(programAt(path, id), 'uid:0', signal())).toMatchObject({ kind: 'absent' })
    closeSync(fd)
  })

  it('notices a change of the content, also one that keeps the size', async () => {
    using s = setting()
    const path = s.directory.file('app')
    writeFileSync(path, 'one')
    await s.ask(path)
    writeFileSync(path, 'two')
    expect(await s.ask(path)).toEqual({ kind: 'digest', sha256: sha256(Buffer.from('two')) })
  })

  it.each<[string, (path: string) => void]>([
    ['larger than the limit', (path) => writeFileSync(path, randomBytes(1001))],
    ['no regular file', (path) => execFileSync('mkdir', [path])],
  ])('a file %s has none', async (_name, make) => {
    using s = setting({ maxBytes: 1000 })
    make(s.directory.file('app'))
    expect(await s.ask(s.directory.file('app'))).toMatchObject({ kind: 'absent' })
  })

  it.runIf(process.getuid?.() !== 0)('a file that may not be read has none', async () => {
    using s = setting()
    const path = s.directory.file('app')
    writeFileSync(path, 'x')
    chmodSync(path, 0)
    expect(await s.ask(path)).toMatchObject({ kind: 'absent' })
  })

  it('remembers a bounded number of digests, those that were asked for last', async () => {
    using directory = new TemporaryDirectory()
    using thread = bareThread(2)
    const path = (name: string) => directory.file(name)
    for (const name of ['a', 'b', 'c']) writeFileSync(path(name), name.repeat(10))
    const stepsFor = async (name: string) => {
      const before = thread.steps()
      await thread.ask(path(name))
      return thread.steps() - before
    }
    // Opening, reading to the end, seeing that it is the end; opening alone when it is remembered.
    expect([await stepsFor('a'), await stepsFor('b'), await stepsFor('a')]).toEqual([3, 3, 1])
    expect([await stepsFor('c'), await stepsFor('a'), await stepsFor('b')]).toEqual([3, 1, 3])
  })

  it('that hangs in a system call is given up, others are served meanwhile, and it is used again when it is back', async () => {
    using s = setting({ stallMs: 50 })
    const fifo = s.directory.file('fifo')
    execFileSync('mkfifo', [fifo])
    writeFileSync(s.directory.file('app'), 'x')
    const hanging = s.digests.digest(programAt(fifo, { device: 1n, inode: 1n, mount: null }), 'uid:0', signal())
    const other = s.ask(s.directory.file('app'))
    expect(await other).toMatchObject({ kind: 'digest' })
    expect(await hanging).toMatchObject({ kind: 'unknown' })
    expect(s.digests.stuck).toBe(1)
    // A writer lets the open of the reader return.
    closeSync(openSync(fifo, constants.O_WRONLY))
    await expect.poll(() => s.digests.stuck).toBe(0)
    expect(await s.ask(s.directory.file('app'))).toMatchObject({ kind: 'digest' })
  })

  it('leaves no descriptor to callers that are gone, and reads for others at once', async () => {
    using s = setting()
    const sparse = Array.from({ length: 100 }, (_, i) => {
      const path = s.directory.file(`sparse${i}`)
      writeFileSync(path, '')
      truncateSync(path, 512 * 1024 * 1024)
      return path
    })
    const honest = s.directory.file('honest')
    writeFileSync(honest, randomBytes(8 * 1024 * 1024))
    const before = descriptors()
    const callers = sparse.map(() => new AbortController())
    const asked = sparse.map((path, i) => s.ask(path, 1, callers[i]?.signal))
    // The thread has one open at a time, and some are its own.
    expect(descriptors() - before).toBeLessThan(30)
    expect(await s.ask(honest, 2)).toMatchObject({ kind: 'digest' })
    for (const caller of callers) caller.abort()
    for (const answer of asked) expect(await answer).toMatchObject({ kind: 'unknown' })
    await expect.poll(() => openFiles(s.directory.path)).toBe(0)
  })

  it('keeps a small file of the same subject waiting for a piece of each large one before it, not for all of it', async () => {
    using s = setting()
    const gone = new AbortController()
    setMaxListeners(0, gone.signal)
    let done = 0
    const large = Array.from({ length: 40 }, async (_, i) => {
      const path = s.directory.file(`large${i}`)
      writeFileSync(path, '')
      truncateSync(path, 64 * 1024 * 1024)
      await s.ask(path, 0, gone.signal)
      done++
    })
    writeFileSync(s.directory.file('small'), 'small')
    expect(await s.ask(s.directory.file('small'))).toMatchObject({ kind: 'digest' })
    expect(done).toBe(0)
    gone.abort()
    await Promise.all(large)
  })

  it('goes on for whoever still waits when the one who asked first is gone', async () => {
    using s = setting()
    const path = s.directory.file('app')
    const content = randomBytes(64 * 1024 * 1024)
    writeFileSync(path, content)
    writeFileSync(s.directory.file('other'), randomBytes(64 * 1024 * 1024))
    const gone = new AbortController()
    const other = s.ask(s.directory.file('other'), 0, gone.signal)
    const first = s.ask(path, 0, gone.signal)
    const second = s.ask(path)
    await new Promise(setImmediate)
    gone.abort()
    expect([await first, await other]).toMatchObject([{ kind: 'unknown' }, { kind: 'unknown' }])
    expect(await second).toEqual({ kind: 'digest', sha256: sha256(content) })
  })

  it('reads a large file while the event loop goes on', async () => {
    using s = setting()
    let turns = 0
    const counter = setInterval(() => turns++, 1)
    const found = await s.ask(process.execPath)
    clearInterval(counter)
    expect(found).toEqual({ kind: 'digest', sha256: sha256(readFileSync(process.execPath)) })
    expect(turns).toBeGreaterThan(5)
  })
})

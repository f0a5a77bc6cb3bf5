import { execFileSync } from 'node:child_process'
import { closeSync, constants, mkdtempSync, openSync, readFileSync, readSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { LineSink } from '../../../agent/platform/line-sink.js'
import { createUntypedLog } from '../../../agent/platform/pino-log.js'

/** What never comes takes as long; a busy machine is no failure. */
const PATIENT = { timeout: 60_000 }

let directory: string
const open: number[] = []
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'icp-sink-'))
})
afterEach(() => {
  for (const fd of open.splice(0)) closeSync(fd)
  rmSync(directory, { recursive: true })
})

function opened(path: string, flags: string | number): number {
  const fd = openSync(path, flags)
  open.push(fd)
  return fd
}

test('lines are written in order without being waited for', async () => {
  const path = join(directory, 'log')
  const sink = new LineSink(opened(path, 'a'))
  const lines = Array.from({ length: 2000 }, (_, i) => `line ${i} ü\n`)
  for (const line of lines) sink.write(line)
  await new Promise<void>((resolve) => sink.end(resolve))
  expect(readFileSync(path, 'utf8')).toBe(lines.join(''))
})

test('a full disk is reported once, and lines beyond 1 MiB are dropped', async () => {
  const onFailure = vi.fn()
  const sink = new LineSink(opened('/dev/full', 'w'), { onFailure })
  for (let i = 0; i < 40; i++) {
    sink.write('x'.repeat(100_000))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await vi.waitFor(() => expect(onFailure).toHaveBeenCalled(), PATIENT)
  expect(onFailure).toHaveBeenCalledTimes(1)
  expect(onFailure.mock.calls[0]?.[0]).toMatchObject({ code: 'ENOSPC' })
  sink.flush()
})

test('a target that takes lines again gets what waited and says how many were dropped', async () => {
  const path = join(directory, 'log')
  const onFailure = vi.fn()
  const onRecovery = vi.fn()
  const fd = openSync('/dev/null', 'r')
  const sink = new LineSink(fd, { onFailure, onRecovery })
  sink.write('first\n')
  await vi.waitFor(() => expect(onFailure).toHaveBeenCalledTimes(1), PATIENT)
  closeSync(fd)
  expect(opened(path, 'a')).toBe(fd)
  sink.write('second\n')
  await vi.waitFor(() => expect(onRecovery).toHaveBeenCalledWith(0), PATIENT)
  await vi.waitFor(() => expect(readFileSync(path, 'utf8')).toBe('first\nsecond\n'), PATIENT)
})

test('a reader that is slow gets every line', async () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = opened(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const sink = new LineSink(opened(fifo, constants.O_WRONLY | constants.O_NONBLOCK))
  const text = `${'x'.repeat(999)}\n`.repeat(300)
  sink.write(text)
  let got = ''
  await vi.waitFor(() => {
    const chunk = Buffer.alloc(65_536)
    try {
      got += chunk.subarray(0, readSync(reader, chunk)).toString()
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' })
    }
    expect(got.length).toBe(text.length)
  }, PATIENT)
})

test('lines that were dropped while the target was slow are told', async () => {
  const path = join(directory, 'log')
  const onRecovery = vi.fn()
  const sink = new LineSink(opened(path, 'a'), { onRecovery })
  for (let i = 0; i < 25; i++) sink.write('x'.repeat(100_000))
  await vi.waitFor(() => expect(onRecovery).toHaveBeenCalledTimes(1), PATIENT)
  const dropped = onRecovery.mock.calls[0]?.[0] as number
  expect(dropped).toBeGreaterThan(0)
  await vi.waitFor(() => expect(readFileSync(path).length).toBe((25 - dropped) * 100_000), PATIENT)
})

test('a reader that has gone ends the writing quietly', async () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = openSync(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const onFailure = vi.fn()
  const sink = new LineSink(opened(fifo, constants.O_WRONLY | constants.O_NONBLOCK), { onFailure })
  closeSync(reader)
  sink.write('x\n')
  await vi.waitFor(() => expect(onFailure).toHaveBeenCalledTimes(1), PATIENT)
  sink.write('y\n')
  sink.flush()
  expect(onFailure).toHaveBeenCalledTimes(1)
})

test('a reader that is stuck does not keep the end waiting', PATIENT, async () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  opened(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const sink = new LineSink(opened(fifo, constants.O_WRONLY | constants.O_NONBLOCK))
  sink.write(`${'x'.repeat(999)}\n`.repeat(300))
  await new Promise<void>((resolve) => sink.end(resolve))
})

test('a write that the target does not let end is seen', PATIENT, async () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  const reader = opened(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  // Without O_NONBLOCK a thread waits for the reader.
  const log = createUntypedLog({ level: 'info', format: 'json', stdout: opened(fifo, constants.O_WRONLY) })
  for (let i = 0; i < 200; i++) log.info('x'.repeat(900), { i })
  await new Promise((resolve) => setImmediate(resolve))
  expect(log.writing).toBe(1)
  log[Symbol.dispose]()
  expect(log.writing).toBe(1)
  const chunk = Buffer.alloc(65_536)
  await vi.waitFor(() => {
    try {
      readSync(reader, chunk)
    } catch (error) {
      expect(error).toMatchObject({ code: 'EAGAIN' })
    }
    expect(log.writing).toBe(0)
  }, PATIENT)
})

test(
  'however often a log that hangs is opened anew, one write hangs, and no line is lost once it goes on',
  PATIENT,
  async () => {
    const fifo = join(directory, 'fifo')
    execFileSync('mkfifo', [fifo])
    const reader = opened(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
    const sinks = [new LineSink(opened(fifo, constants.O_WRONLY))]
    sinks[0]?.write('x'.repeat(100_000))
    let ended = 0
    for (let i = 0; i < 4; i++) {
      const next = new LineSink(opened(fifo, constants.O_WRONLY), { held: true })
      sinks.at(-1)?.end(() => {
        ended++
        next.release()
      })
      sinks.push(next)
      next.write(`${i}\n`)
    }
    await new Promise((resolve) => setImmediate(resolve))
    expect(sinks.map((sink) => sink.writing)).toEqual([true, false, false, false, false])
    expect(ended).toBe(0)
    let read = ''
    const chunk = Buffer.alloc(65_536)
    await vi.waitFor(() => {
      try {
        read += chunk.toString('utf8', 0, readSync(reader, chunk))
      } catch (error) {
        expect(error).toMatchObject({ code: 'EAGAIN' })
      }
      expect(read.slice(100_000)).toBe('0\n1\n2\n3\n')
    }, PATIENT)
    expect(ended).toBe(4)
  },
)

test('flushing into a full disk gives up at once', () => {
  const sink = new LineSink(opened('/dev/full', 'w'))
  sink.write('x\n')
  sink.write('y\n')
  expect(() => sink.flush()).not.toThrow()
})

test('what a full disk did not take is there after the end, in whole lines', async () => {
  const sink = new LineSink(opened('/dev/full', 'w'))
  sink.write('one\n')
  await vi.waitFor(() => expect(sink.failure).toMatchObject({ code: 'ENOSPC' }), PATIENT)
  sink.write('two\n')
  expect(sink.waiting).toBe(8)
  await new Promise<void>((resolve) => sink.end(resolve))
  expect(sink.left).toEqual({ lines: Buffer.from('one\ntwo\n'), torn: false })
})

test('a line that was written in part is not among them', async () => {
  const fifo = join(directory, 'fifo')
  execFileSync('mkfifo', [fifo])
  opened(fifo, constants.O_RDONLY | constants.O_NONBLOCK)
  const sink = new LineSink(opened(fifo, constants.O_WRONLY | constants.O_NONBLOCK))
  // A pipe holds 64 KiB.
  sink.write(`${'x'.repeat(99_999)}\n`)
  await vi.waitFor(() => expect(sink.waiting).toBeLessThan(100_000), PATIENT)
  sink.write('two\n')
  await new Promise<void>((resolve) => sink.end(resolve))
  expect(sink.left).toEqual({ lines: Buffer.from('two\n'), torn: true })
})

test('a line has a limit of its own, and is told whether it was taken', async () => {
  const sink = new LineSink(opened('/dev/full', 'w'))
  sink.write('x\n')
  await vi.waitFor(() => expect(sink.failure).not.toBeNull(), PATIENT)
  const big = 'x'.repeat(1024 * 1024)
  expect(sink.write(big)).toBe(true)
  expect(sink.write('y\n')).toBe(false)
  expect(sink.write('z\n', 2 * 1024 * 1024)).toBe(true)
  sink.flush()
})

import { beforeEach, describe, expect, test } from 'vitest'
import { DeadlineFiles } from '../../../agent/platform/deadline-files.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { MemoryFiles } from '../../fakes/memory-files.js'

const DATA = '/var/lib/none'

/** A disk whose operations hang until it is told to answer. */
class HangingFiles extends MemoryFiles {
  began = 0
  #hung: (() => void)[] | null = null

  hang(): void {
    this.#hung = []
  }
  answer(): void {
    const hung = this.#hung ?? []
    this.#hung = null
    for (const go of hung) go()
  }
  override async writeAtomically(path: string, content: Uint8Array): Promise<void> {
    this.began++
    if (this.#hung) await new Promise<void>((go) => this.#hung?.push(go))
    await super.writeAtomically(path, content)
  }
}

let clock: FakeClock
let disk: HangingFiles
let files: DeadlineFiles
beforeEach(() => {
  clock = new FakeClock()
  disk = new HangingFiles()
  files = new DeadlineFiles(disk, clock, [DATA])
})
const write = (path: string, content = path) => files.writeAtomically(path, Buffer.from(content))
const outcome = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => error,
  )
const hung = expect.objectContaining({ code: 'file.io', message: expect.stringContaining('the disk hangs since') })

describe('a disk that answers', () => {
  test('is what it is', async () => {
    await write(`${DATA}/a`, 'text')
    expect((await files.read(`${DATA}/a`, { maxBytes: 10 }))?.toString()).toBe('text')
    expect(await files.list(DATA)).toEqual(['a'])
    await files.rename(`${DATA}/a`, `${DATA}/b`)
    await files.remove(`${DATA}/b`)
    expect(disk.content.size).toBe(0)
    expect(clock.pending).toBe(0)
  })

  test('is told what it failed with', async () => {
    disk.hook = () => {
      throw new Error('EIO')
    }
    expect(await outcome(write(`${DATA}/a`))).toEqual(new Error('EIO'))
    expect(clock.pending).toBe(0)
  })
})

describe('a disk that hangs', () => {
  test('is an error after ten seconds, with the time at which it began', async () => {
    const since = new Date(clock.now()).toISOString()
    disk.hang()
    const writing = outcome(write(`${DATA}/a`))
    await clock.advance('9s')
    expect(files.hanging).toBe(0)
    await clock.advance('1s')
    expect(await writing).toEqual(hung)
    expect(String(await writing)).toContain(since)
    expect(files.hanging).toBe(1)
  })

  test('holds two threads at most, however often it is tried', async () => {
    disk.hang()
    const writing = Array.from({ length: 20 }, (_, i) => outcome(write(`${DATA}/cache/${i}`)))
    await clock.advance('10s')
    expect(await Promise.all(writing)).toEqual(Array.from({ length: 20 }, () => hung))
    for (let i = 0; i < 20; i++) expect(await outcome(write(`${DATA}/${i}`))).toEqual(hung)
    expect([disk.began, files.hanging]).toEqual([2, 2])
  })

  test('holds up no other disk', async () => {
    disk.hang()
    const writing = outcome(write(`${DATA}/a`))
    await clock.advance('10s')
    expect(await writing).toEqual(hung)
    disk.content.set('/var/run/token', Buffer.from('x'))
    expect((await files.read('/var/run/token', { maxBytes: 10 }))?.toString()).toBe('x')
  })

  test('is used again once it answers, and what was given up does not replace what came after', async () => {
    disk.hang()
    const old = outcome(write(`${DATA}/a`, 'old'))
    await clock.advance('10s')
    expect(await old).toEqual(hung)
    disk.answer()
    await settle()
    expect(files.hanging).toBe(0)
    await write(`${DATA}/a`, 'new')
    expect(disk.content.get(`${DATA}/a`)?.toString()).toBe('new')
    expect(clock.pending).toBe(0)
  })

  test('keeps nobody waiting who comes while it is about to be found out', async () => {
    disk.hang()
    const first = [outcome(write(`${DATA}/a`)), outcome(write(`${DATA}/b`))]
    await clock.advance('6s')
    const third = outcome(write(`${DATA}/c`))
    await clock.advance('4s')
    expect(await Promise.all([...first, third])).toEqual([hung, hung, hung])
    expect(disk.began).toBe(2)
  })
})

test('who waits for a turn gets it when another ends', async () => {
  disk.hang()
  const all = Array.from({ length: 5 }, (_, i) => outcome(write(`${DATA}/${i}`)))
  await clock.advance('5s')
  disk.answer()
  expect(await Promise.all(all)).toEqual(Array.from({ length: 5 }, () => 'done'))
  expect(clock.pending).toBe(0)
})

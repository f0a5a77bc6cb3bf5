import { existsSync } from 'node:fs'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DiskGenerations, type DiskGenerationsOptions } from '../../../agent/platform/disk-generations.js'
import type { OutputFile } from '../../../agent/ports/generations.js'
import { asNobody, canBecomeNobody } from '../../fakes/other-user.js'

let base: string
let directory: string
let now: number
const open: DiskGenerations[] = []

beforeEach(async () => {
  base = await mkdtemp(join(tmpdir(), 'icp-'))
  directory = join(base, 'out')
  now = Date.parse('2026-01-01T00:00:00Z')
})
afterEach(async () => {
  for (const one of open.splice(0)) one[Symbol.dispose]()
  await rm(base, { recursive: true })
})

function generations(options: Partial<DiskGenerationsOptions> = {}, libc?: () => { lock(): boolean }): DiskGenerations {
  const standard = { switching: 'symlink', owner: null, group: null, shared: false, graceMs: 10_000 } as const
  const made = new DiskGenerations(
    { directory, now: () => now, ...standard, ...options },
    libc ?? (() => ({ lock: () => true })),
  )
  open.push(made)
  return made
}
const files = (content: string, names = ['a.pem', 'k.pem']): OutputFile[] =>
  names.map((name) => ({ name, content: Buffer.from(content), mode: name === 'k.pem' ? 0o600 : 0o644 }))
const kept = async () => (await readdir(directory)).filter((name) => /^\.\.\d{4}/.test(name))

test('all files of a generation are reached through ..data, with their modes', async () => {
  expect(generations().put(files('one'))).toBe(true)
  expect(await readFile(join(directory, 'a.pem'), 'utf8')).toBe('one')
  expect(await readlink(join(directory, 'k.pem'))).toBe('..data/k.pem')
  expect((await stat(join(directory, 'k.pem'))).mode & 0o777).toBe(0o600)
  expect((await stat(join(directory, 'a.pem'))).mode & 0o777).toBe(0o644)
})

test('the umask changes no mode', async () => {
  const before = process.umask(0o077)
  try {
    generations().put(files('one'))
  } finally {
    process.umask(before)
  }
  expect((await stat(join(directory, 'a.pem'))).mode & 0o777).toBe(0o644)
  expect((await stat(join(directory, '..data'))).mode & 0o777).toBe(0o755)
})

test('the same files are not written again, whoever wrote them', () => {
  generations().put(files('one'))
  expect(generations().put(files('one'))).toBe(false)
  expect(generations().put(files('two'))).toBe(true)
})

test('a file that was changed, or whose mode was, is written again', async () => {
  const one = generations()
  one.put(files('one'))
  await writeFile(join(directory, '..data', 'a.pem'), 'eno')
  expect(one.put(files('one'))).toBe(true)
  await chmod(join(directory, '..data', 'k.pem'), 0o644)
  expect(one.put(files('one'))).toBe(true)
  expect((await stat(join(directory, 'k.pem'))).mode & 0o777).toBe(0o600)
})

test('a replaced generation stays for those who read it, and is then removed with its key', async () => {
  const one = generations()
  one.put(files('one'))
  const old = join(directory, await readlink(join(directory, '..data')))
  one.put(files('two'))
  one.sweep()
  now += 9_000
  one.sweep()
  expect(existsSync(join(old, 'k.pem'))).toBe(true)
  now += 1_000
  one.sweep()
  expect(existsSync(old)).toBe(false)
  expect(await kept()).toHaveLength(1)
})

test('what a killed process has left is removed, and nothing else', async () => {
  generations().put(files('one'))
  await mkdir(join(directory, '..2026_01_01_00_00_00.0123456789abcdef'))
  await writeFile(join(directory, '..2026_01_01_00_00_00.0123456789abcdef', 'k.pem'), 'half')
  await symlink('nowhere', join(directory, '..tmp.0123456789abcdef'))
  await mkdir(join(directory, '..2026_01_01_00_00_00.123456789'))
  await writeFile(join(directory, 'notes.txt'), 'mine')
  now = Date.now()
  const next = generations()
  next.sweep()
  expect(await kept()).toHaveLength(3)
  now += 10_000
  next.sweep()
  const left = await readdir(directory)
  expect(left).not.toContain('..2026_01_01_00_00_00.0123456789abcdef')
  expect(left).not.toContain('..tmp.0123456789abcdef')
  expect(left).toEqual(expect.arrayContaining(['notes.txt', '..2026_01_01_00_00_00.123456789']))
})

test('names of which a generation has no file go away', async () => {
  const one = generations()
  one.put(files('one', ['a.pem', 'federated.two.pem']))
  await symlink('elsewhere', join(directory, 'theirs'))
  one.put(files('two', ['a.pem']))
  expect((await readdir(directory)).filter((name) => !name.startsWith('..'))).toEqual(['a.pem', 'theirs'])
})

test('files that were there under these names are replaced by what leads to the new ones', async () => {
  await mkdir(directory, { mode: 0o755 })
  await writeFile(join(directory, 'a.pem'), 'of another tool')
  generations().put(files('one'))
  expect(await readFile(join(directory, 'a.pem'), 'utf8')).toBe('one')
})

describe('nothing is written where a symlink leads', () => {
  test.each(['a.pem', 'k.pem', '..data'])('that stands in the place of %s', async (name) => {
    const victim = join(base, 'victim')
    await mkdir(victim)
    await writeFile(join(victim, 'file'), 'untouched')
    await mkdir(directory, { mode: 0o755 })
    await symlink(name === '..data' ? victim : join(victim, 'file'), join(directory, name))
    for (const switching of ['symlink', 'rename'] as const) generations({ switching }).put(files(switching))
    expect(await readdir(victim)).toEqual(['file'])
    expect(await readFile(join(victim, 'file'), 'utf8')).toBe('untouched')
    expect(await readFile(join(directory, 'k.pem'), 'utf8')).toBe('rename')
  })

  test('nor where the directory itself is one', async () => {
    await mkdir(join(base, 'victim'))
    await symlink(join(base, 'victim'), directory)
    for (const shared of [false, true])
      expect(() => generations({ shared }).put(files('one'))).toThrow(/symlink|not a directory/)
    expect(await readdir(join(base, 'victim'))).toEqual([])
  })
})

test('a directory that others can write to is refused unless that is meant', async () => {
  await mkdir(directory)
  await chmod(directory, 0o777)
  expect(() => generations().put(files('one'))).toThrowError(
    expect.objectContaining({ code: 'file.unsafe', message: expect.stringContaining('--shared-dir') }),
  )
  expect(generations({ shared: true }).put(files('one'))).toBe(true)
})

test('a second process does not write to the same directory', () => {
  expect(() => generations({}, () => ({ lock: () => false })).put(files('one'))).toThrow(/another process writes/)
})

test('a directory that was moved away is made again', async () => {
  const one = generations()
  one.put(files('one'))
  await rename(directory, join(base, 'gone'))
  expect(one.put(files('one'))).toBe(true)
  expect(await readFile(join(directory, 'a.pem'), 'utf8')).toBe('one')
})

test('a full generation that cannot be put in place leaves the one before whole', async () => {
  const one = generations()
  one.put(files('one'))
  await rm(join(directory, 'a.pem'))
  await mkdir(join(directory, 'a.pem', 'in the way'), { recursive: true })
  expect(() => one.put([{ name: 'x/y', content: Buffer.from('x'), mode: 0o600 }])).toThrow()
  expect(await readFile(join(directory, '..data', 'k.pem'), 'utf8')).toBe('one')
  expect(await kept()).toHaveLength(1)
})

describe('a directory in the place of a file is named, and no other file is touched', () => {
  test.each(['symlink', 'rename'] as const)('%s', async (switching) => {
    await mkdir(join(directory, 'k.pem'), { recursive: true, mode: 0o755 })
    await writeFile(join(directory, 'a.pem'), 'of before')
    expect(() => generations({ switching }).put(files('one'))).toThrow(
      expect.objectContaining({ code: 'file.io', message: expect.stringContaining(join(directory, 'k.pem')) }),
    )
    expect((await readdir(directory)).sort()).toEqual(['a.pem', 'k.pem'])
    expect(await readFile(join(directory, 'a.pem'), 'utf8')).toBe('of before')
  })
})

describe('renamed one by one', () => {
  const renaming = () => generations({ switching: 'rename' })

  test('the files are regular ones, in the order in which they are given', async () => {
    renaming().put(files('one'))
    expect((await lstat(join(directory, 'k.pem'))).isFile()).toBe(true)
    expect((await readdir(directory)).sort()).toEqual(['a.pem', 'k.pem'])
  })

  test('the same files are not written again, and those no longer wanted go away', async () => {
    const one = renaming()
    one.put(files('one', ['a.pem', 'b.pem']))
    expect(one.put(files('one', ['a.pem', 'b.pem']))).toBe(false)
    expect(one.put(files('one', ['a.pem']))).toBe(true)
    expect(await readdir(directory)).toEqual(['a.pem'])
  })

  test('what was switched by ..data before is taken over', async () => {
    generations().put(files('one'))
    const one = renaming()
    one.put(files('two'))
    now += 10_000
    one.sweep()
    now += 10_000
    one.sweep()
    expect((await readdir(directory)).sort()).toEqual(['a.pem', 'k.pem'])
  })
})

describe.skipIf(!canBecomeNobody)('owners', () => {
  test('root gives the files away', async () => {
    generations({ owner: 65_534, group: 65_534 }).put(files('one'))
    const { uid, gid } = await stat(join(directory, 'k.pem'))
    expect([uid, gid]).toEqual([65_534, 65_534])
    expect(generations({ owner: 65_534, group: 65_534 }).put(files('one'))).toBe(false)
  })

  test('anybody else is told what it takes', async () => {
    await chmod(base, 0o777)
    const source = `
      import { DiskGenerations } from '../../../agent/platform/disk-generations.js'
      const options = { switching: 'symlink', owner: 0, group: null, shared: true, graceMs: 0, now: () => 0 }
      const made = new DiskGenerations({ directory: process.argv[2], ...options }, () => ({ lock: () => true }))
      try {
        made.put([{ name: 'k.pem', content: Buffer.from('x'), mode: 0o600 }])
      } catch (error) {
        console.log(JSON.stringify({ code: error.code, message: error.message }))
      }`
    const told = asNobody(import.meta.dirname, source, [directory])
    expect(told).toEqual({ code: 'file.io', message: expect.stringContaining('only root gives files to other users') })
    expect(existsSync(join(directory, 'k.pem'))).toBe(false)
  })
})

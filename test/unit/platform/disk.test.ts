import { execFileSync } from 'node:child_process'
import { lstat, mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { TemporaryFiles } from '../../fakes/files.js'

const MAX = { maxBytes: 1024 }
const OWN = { maxBytes: 1024, own: true }
const bytes = (text: string) => Buffer.from(text)

describe('reading', () => {
  test('a file that is not there is null', async () => {
    await using files = await TemporaryFiles.create()
    expect(await files.read(files.path('nothing'), MAX)).toBeNull()
    expect(await files.read(files.path('no', 'such', 'directory'), OWN)).toBeNull()
  })

  test('content comes back whole, also when the file says it is empty, as those of /proc do', async () => {
    await using files = await TemporaryFiles.create()
    const content = Buffer.alloc(200_000, 'x')
    await writeFile(files.path('big'), content)
    expect((await files.read(files.path('big'), { maxBytes: 200_000 }))?.equals(content)).toBe(true)
    const status = await files.read('/proc/self/status', { maxBytes: 100_000 })
    expect(status?.toString()).toContain(`Pid:\t${process.pid}`)
  })

  test('a file over the limit is refused, one of exactly the limit is not', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('a'), Buffer.alloc(1024))
    await writeFile(files.path('b'), Buffer.alloc(1025))
    expect((await files.read(files.path('a'), MAX))?.length).toBe(1024)
    await expect(files.read(files.path('b'), MAX)).rejects.toMatchObject({ code: 'file.too_large' })
    await expect(files.read('/proc/self/status', { maxBytes: 10 })).rejects.toMatchObject({ code: 'file.too_large' })
  })

  test('a file that says how large it is need not be read to be refused', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('f'), Buffer.alloc(1025))
    using _fault = files.fail('read', 'EIO')
    await expect(files.read(files.path('f'), MAX)).rejects.toMatchObject({ code: 'file.too_large' })
  })

  test('what the platform provides is read through symlinks', async () => {
    await using files = await TemporaryFiles.create()
    await mkdir(files.path('..data_1'))
    await writeFile(files.path('..data_1', 'token'), 'secret')
    await symlink('..data_1', files.path('..data'))
    await symlink('..data/token', files.path('token'))
    expect((await files.read(files.path('token'), MAX))?.toString()).toBe('secret')
  })

  test('a file of our own is never read through a symlink, not even a dangling one', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('real'), 'x', { mode: 0o600 })
    await symlink('real', files.path('link'))
    await symlink('nowhere', files.path('dangling'))
    await expect(files.read(files.path('link'), OWN)).rejects.toMatchObject({ code: 'file.unsafe' })
    await expect(files.read(files.path('dangling'), OWN)).rejects.toMatchObject({ code: 'file.unsafe' })
    expect((await files.read(files.path('real'), OWN))?.toString()).toBe('x')
  })

  test.each([0o620, 0o602, 0o666])(
    'a file of our own with mode %o is refused: others could have written it',
    async (mode) => {
      await using files = await TemporaryFiles.create()
      await files.writeAtomically(files.path('f'), bytes('x'), mode)
      await expect(files.read(files.path('f'), OWN)).rejects.toMatchObject({ code: 'file.unsafe' })
      expect(await files.read(files.path('f'), MAX)).not.toBeNull()
    },
  )

  test('a FIFO neither blocks nor is read, and a directory is refused', async () => {
    await using files = await TemporaryFiles.create()
    execFileSync('mkfifo', [files.path('fifo')])
    await expect(files.read(files.path('fifo'), MAX)).rejects.toMatchObject({ code: 'file.unsafe' })
    await expect(files.read(files.directory, MAX)).rejects.toMatchObject({ code: 'file.unsafe' })
    await expect(files.read('/dev/zero', MAX)).rejects.toMatchObject({ code: 'file.unsafe' })
  })

  test('an error of the disk is an AgentError that keeps its cause and names the errno', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('f'), 'x')
    using _fault = files.fail('read', 'EIO')
    const error = await files.read(files.path('f'), MAX).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(AgentError)
    expect(error).toMatchObject({ code: 'file.io', details: { errno: 'EIO', path: files.path('f') } })
    expect((error as AgentError).cause).toBeInstanceOf(Error)
  })
})

describe('writing', () => {
  test('a file is written with mode 0600, or with the mode asked for whatever the umask', async () => {
    await using files = await TemporaryFiles.create()
    const before = process.umask(0o077)
    try {
      await files.writeAtomically(files.path('key'), bytes('k'))
      await files.writeAtomically(files.path('bundle'), bytes('b'), 0o644)
    } finally {
      process.umask(before)
    }
    expect((await stat(files.path('key'))).mode & 0o7777).toBe(0o600)
    expect((await stat(files.path('bundle'))).mode & 0o7777).toBe(0o644)
  })

  test('the content is on the disk before the name changes, and the name before the promise resolves', async () => {
    await using files = await TemporaryFiles.create()
    await files.writeAtomically(files.path('f'), bytes('x'))
    const steps = files.calls.map((call) => call.replace(/\S+\.tmp$/, 'TEMPORARY').replace(files.directory, 'DIR'))
    expect(steps.slice(1)).toEqual([
      'open TEMPORARY',
      'write TEMPORARY',
      'chmod TEMPORARY',
      'sync TEMPORARY',
      'rename DIR/f',
      'open DIR',
      'sync DIR',
    ])
  })

  test.each([
    ['open', 'EROFS'],
    ['write', 'ENOSPC'],
    ['chmod', 'EPERM'],
    ['sync', 'EIO'],
    ['rename', 'EIO'],
  ] as const)('when %s fails with %s the old content stays and nothing is left behind', async (call, errno) => {
    await using files = await TemporaryFiles.create()
    await files.writeAtomically(files.path('f'), bytes('old'))
    {
      using _fault = files.fail(call, errno)
      await expect(files.writeAtomically(files.path('f'), bytes('new'))).rejects.toMatchObject({
        code: 'file.io',
        details: { errno },
      })
    }
    expect(await readFile(files.path('f'), 'utf8')).toBe('old')
    expect(await readdir(files.directory)).toEqual(['f'])
    await files.writeAtomically(files.path('f'), bytes('new'))
    expect(await readFile(files.path('f'), 'utf8')).toBe('new')
  })

  test('a symlink in the place of the file is replaced, its target untouched', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('victim'), 'precious')
    await symlink('victim', files.path('f'))
    await files.writeAtomically(files.path('f'), bytes('ours'))
    expect(await readFile(files.path('victim'), 'utf8')).toBe('precious')
    expect((await lstat(files.path('f'))).isSymbolicLink()).toBe(false)
  })

  test('a file system that cannot sync a directory is no failure; one that reports an error is', async () => {
    await using files = await TemporaryFiles.create()
    const theDirectory = /icp-agent-test-[^/]*$/
    {
      using _fault = files.fail('sync', 'EINVAL', { path: theDirectory })
      await files.writeAtomically(files.path('f'), bytes('x'))
    }
    using _fault = files.fail('sync', 'EIO', { path: theDirectory })
    await expect(files.writeAtomically(files.path('f'), bytes('y'))).rejects.toMatchObject({ code: 'file.io' })
  })

  test('many writes of one file at once leave one of their contents, whole', async () => {
    await using files = await TemporaryFiles.create()
    const contents = Array.from({ length: 20 }, (_, i) => Buffer.alloc(10_000, String.fromCharCode(97 + i)))
    await Promise.all(contents.map((content) => files.writeAtomically(files.path('f'), content)))
    const result = await readFile(files.path('f'))
    expect(contents.some((content) => content.equals(result))).toBe(true)
    expect(await files.list(files.directory)).toEqual(['f'])
  })

  test('what a killed process left is removed once it is old, and nothing else', async () => {
    await using files = await TemporaryFiles.create()
    const old = files.path('.agent.json.0123456789abcdef.tmp')
    const fresh = files.path('.agent.json.fedcba9876543210.tmp')
    const foreign = files.path('.vimrc.tmp')
    for (const path of [old, fresh, foreign]) await writeFile(path, 'half')
    for (const path of [old, foreign]) await utimes(path, 0, 0)
    await files.writeAtomically(files.path('f'), bytes('x'))
    await expect(lstat(old)).rejects.toThrow()
    await expect(lstat(fresh)).resolves.toBeDefined()
    expect(await files.list(files.directory)).toEqual(['.vimrc.tmp', 'f'])
  })
})

describe('names', () => {
  test('removing what is not there is no error, removing a directory is one', async () => {
    await using files = await TemporaryFiles.create()
    await files.remove(files.path('nothing'))
    await expect(files.remove(files.directory)).rejects.toMatchObject({ code: 'file.io' })
  })

  test('a symlink is removed, not its target', async () => {
    await using files = await TemporaryFiles.create()
    await writeFile(files.path('victim'), 'x')
    await symlink('victim', files.path('link'))
    await files.remove(files.path('link'))
    expect(await files.list(files.directory)).toEqual(['victim'])
  })

  test('a directory that is not there lists as empty, a file does not', async () => {
    await using files = await TemporaryFiles.create()
    expect(await files.list(files.path('nothing'))).toEqual([])
    await writeFile(files.path('f'), 'x')
    await expect(files.list(files.path('f'))).rejects.toMatchObject({ code: 'file.io' })
  })

  test('renaming what is not there is an error', async () => {
    await using files = await TemporaryFiles.create()
    await expect(files.rename(files.path('a'), files.path('b'))).rejects.toMatchObject({ code: 'file.io' })
  })
})

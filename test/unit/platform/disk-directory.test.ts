import {
  chmodSync,
  chownSync,
  fstatSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  checkDirectory,
  ensureDirectory,
  faultOfOwner,
  faultOfParent,
  holdDirectory,
  type Part,
  writableByOthers,
} from '../../../agent/platform/directory.js'

const me = { uid: 1000, gid: 1000 }
const part = (given: Partial<Part>): Part => ({ path: '/x', kind: 'directory', uid: 0, gid: 0, mode: 0o755, ...given })

describe('the rule', () => {
  test.each([
    ['0755 of root', part({}), false],
    ['0777', part({ mode: 0o777 }), true],
    ['sticky 1777', part({ mode: 0o1777 }), true],
    ['0775 of the group root', part({ mode: 0o775 }), false],
    ['0775 of another group', part({ mode: 0o775, gid: 4 }), true],
    ['0775 of our private group', part({ mode: 0o775, uid: 1000, gid: 1000 }), false],
    ['0757', part({ mode: 0o757 }), true],
  ])('%s', (_name, directory, writable) => {
    expect(writableByOthers(directory, me)).toBe(writable)
  })

  test.each([
    ['a user', { users: [33], groups: [] }, true],
    ['a group', { users: [], groups: [4] }, true],
    ['root and us', { users: [0, 1000], groups: [0, 1000] }, false],
    ['nobody', { users: [], groups: [] }, false],
  ])('an ACL that lets %s write', (_whom, acl, writable) => {
    expect(writableByOthers(part({ mode: 0o775, acl }), me)).toBe(writable)
    expect(faultOfParent(part({ mode: 0o775, acl }), me) !== null).toBe(writable)
    // The bits of the group are the mask of the list.
    expect(writableByOthers(part({ mode: 0o755, acl }), me)).toBe(false)
  })

  test('a group that we share with others counts as others', () => {
    expect(writableByOthers(part({ mode: 0o775, gid: 100 }), { uid: 1000, gid: 100 })).toBe(true)
  })

  test('a sticky directory does not spoil what is in it, one that is not sticky does', () => {
    expect(faultOfParent(part({ mode: 0o1777 }), me)).toBeNull()
    expect(faultOfParent(part({ mode: 0o777 }), me)).not.toBeNull()
    expect(faultOfParent(part({ mode: 0o755 }), me)).toBeNull()
  })

  test('root and we may own a part of the path, nobody else', () => {
    expect(faultOfOwner(part({ uid: 0 }), me)).toBeNull()
    expect(faultOfOwner(part({ uid: 1000 }), me)).toBeNull()
    expect(faultOfOwner(part({ uid: 1001 }), me)).not.toBeNull()
    expect(faultOfOwner(part({ uid: 1000 }), { uid: 0, gid: 0 })).not.toBeNull()
  })
})

describe('on the disk', () => {
  let root: string
  const at = (...parts: string[]) => join(root, ...parts)
  const make = (path: string, mode: number) => {
    mkdirSync(path)
    chmodSync(path, mode)
    return path
  }
  const modeOf = (path: string) => statSync(path).mode & 0o7777

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'icp-agent-dir-'))
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  test('missing parts are made with exactly the mode, whatever the umask', () => {
    for (const umask of [0o000, 0o077, 0o022]) {
      const before = process.umask(umask)
      try {
        ensureDirectory(at(`u${umask}`, 'b', 'c'), 0o755)
      } finally {
        process.umask(before)
      }
      for (const path of [at(`u${umask}`), at(`u${umask}`, 'b'), at(`u${umask}`, 'b', 'c')])
        expect(modeOf(path)).toBe(0o755)
    }
  })

  test.each([0o700, 0o750])('one of mode %o closes nothing that is made on the way to it', (mode) => {
    const before = process.umask(0o077)
    try {
      ensureDirectory(at('a', 'b', 'private'), mode)
    } finally {
      process.umask(before)
    }
    expect([at('a'), at('a', 'b'), at('a', 'b', 'private')].map(modeOf)).toEqual([0o755, 0o755, mode])
  })

  test('what is missing is told apart from what is there', () => {
    expect(checkDirectory(at('a', 'b'))).toEqual({ state: 'missing', existing: root, rest: ['a', 'b'] })
    expect(checkDirectory(root)).toMatchObject({ state: 'safe', directory: { path: root, mode: 0o700 } })
  })

  test('a directory that is held is the same one after its name leads elsewhere', () => {
    using held = holdDirectory(at('d'), { mode: 0o750 })
    renameSync(at('d'), at('away'))
    mkdirSync(at('d'))
    writeFileSync(held.inside('file'), 'x')
    expect(readFileSync(at('away', 'file'), 'utf8')).toBe('x')
    expect(fstatSync(held.fd).mode & 0o777).toBe(0o750)
    expect(held.tightenedFrom).toBeNull()
  })

  test('one of ours that others can write to is tightened only where that is asked for, never a sticky one', () => {
    mkdirSync(at('d'))
    chmodSync(at('d'), 0o777)
    expect(() => holdDirectory(at('d'), { mode: 0o755 })).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
    {
      using held = holdDirectory(at('d'), { mode: 0o755, tighten: true })
      expect(held.tightenedFrom).toBe(0o777)
      expect(statSync(at('d')).mode & 0o777).toBe(0o755)
    }
    chmodSync(at('d'), 0o1777)
    expect(() => holdDirectory(at('d'), { mode: 0o755, tighten: true })).toThrow(
      expect.objectContaining({ code: 'file.unsafe' }),
    )
  })

  test('a directory that is there keeps its mode', () => {
    make(at('d'), 0o750)
    ensureDirectory(at('d'), 0o700)
    expect(modeOf(at('d'))).toBe(0o750)
  })

  test.each([0o777, 0o1777, 0o757])('a directory with mode %o is refused and not touched', (mode) => {
    make(at('d'), mode)
    expect(() => ensureDirectory(at('d'), 0o700)).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
    expect(modeOf(at('d'))).toBe(mode)
    expect(checkDirectory(at('d'))).toMatchObject({ state: 'writable', ours: true, sticky: (mode & 0o1000) !== 0 })
  })

  test('an ancestor that others can write to spoils what is below it, existing or not', () => {
    make(at('open'), 0o777)
    make(at('open', 'inner'), 0o700)
    expect(checkDirectory(at('open', 'inner'))).toMatchObject({ state: 'unsafe', at: at('open') })
    expect(() => ensureDirectory(at('open', 'new'), 0o700)).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
    expect(() => statSync(at('open', 'new'))).toThrow()
  })

  test('a sticky ancestor is fine when the child is ours', () => {
    make(at('sticky'), 0o1777)
    ensureDirectory(at('sticky', 'ours'), 0o700)
    expect(checkDirectory(at('sticky', 'ours')).state).toBe('safe')
  })

  test('a file in the way is refused', () => {
    writeFileSync(at('f'), '')
    expect(checkDirectory(at('f'))).toMatchObject({ state: 'unsafe', at: at('f') })
    expect(() => ensureDirectory(at('f', 'd'), 0o700)).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
  })

  test('a symlink as the directory itself is refused', () => {
    make(at('real'), 0o700)
    symlinkSync('real', at('link'))
    expect(checkDirectory(at('link'))).toMatchObject({ state: 'unsafe', at: at('link') })
    expect(() => ensureDirectory(at('link'), 0o700)).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
  })

  test('a symlink of ours on the way is followed, and its target judged', () => {
    make(at('real'), 0o700)
    make(at('open'), 0o777)
    make(at('open', 'd'), 0o700)
    make(at('real', 'up'), 0o700)
    symlinkSync(at('real'), at('absolute'))
    symlinkSync('./real/up/..', at('relative'))
    symlinkSync('open', at('bad'))
    ensureDirectory(at('absolute', 'd'), 0o700)
    expect(modeOf(at('real', 'd'))).toBe(0o700)
    expect(checkDirectory(at('relative', 'd'))).toMatchObject({ state: 'safe', directory: { path: at('real', 'd') } })
    expect(checkDirectory(at('bad', 'd'))).toMatchObject({ state: 'unsafe', at: at('open') })
  })

  test('a loop of symlinks ends', () => {
    symlinkSync('b', at('a'))
    symlinkSync('a', at('b'))
    expect(checkDirectory(at('a', 'd')).state).toBe('unsafe')
  })

  describe.skipIf(process.geteuid?.() !== 0)('as root', () => {
    test("somebody else's directory is refused, as an ancestor too", () => {
      make(at('theirs'), 0o755)
      chownSync(at('theirs'), 65534, 65534)
      make(at('theirs', 'ours'), 0o700)
      expect(checkDirectory(at('theirs'))).toMatchObject({ state: 'unsafe', at: at('theirs') })
      expect(checkDirectory(at('theirs', 'ours'))).toMatchObject({ state: 'unsafe', at: at('theirs') })
      expect(() => ensureDirectory(at('theirs', 'new'), 0o700)).toThrow(
        expect.objectContaining({ code: 'file.unsafe' }),
      )
    })

    test("somebody else's directory in a sticky one is refused, whatever its mode", () => {
      make(at('sticky'), 0o1777)
      make(at('sticky', 'theirs'), 0o700)
      chownSync(at('sticky', 'theirs'), 65534, 65534)
      expect(checkDirectory(at('sticky', 'theirs'))).toMatchObject({ state: 'unsafe', at: at('sticky', 'theirs') })
    })

    test("somebody else's symlink on the way is refused, wherever it points to", () => {
      make(at('ours'), 0o700)
      make(at('sticky'), 0o1777)
      symlinkSync(at('ours'), at('sticky', 'link'))
      expect(checkDirectory(at('sticky', 'link', 'd')).state).toBe('missing')
      lchownSync(at('sticky', 'link'), 65534, 65534)
      expect(checkDirectory(at('sticky', 'link', 'd'))).toMatchObject({ state: 'unsafe', at: at('sticky', 'link') })
    })

    test('a group that is not ours may not have write permission', () => {
      make(at('shared'), 0o2775)
      chownSync(at('shared'), 0, 65534)
      expect(checkDirectory(at('shared'))).toMatchObject({ state: 'writable', ours: true, sticky: false })
      expect(checkDirectory(at('shared', 'd'))).toMatchObject({ state: 'unsafe', at: at('shared') })
    })
  })
})

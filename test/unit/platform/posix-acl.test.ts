import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { checkDirectory } from '../../../agent/platform/directory.js'
import { aclWriters, writersOf } from '../../../agent/platform/posix-acl.js'
import { socketDirectory } from '../../../agent/platform/socket-directory.js'

const USER = [0x02, 7, 33] as const
const GROUP = [0x08, 6, 4] as const
const NONE = 0xffffffff

function list(...entries: readonly (readonly [tag: number, permissions: number, id: number])[]): Buffer {
  const head = Buffer.from([2, 0, 0, 0])
  return Buffer.concat([
    head,
    ...entries.map(([tag, permissions, id]) => {
      const entry = Buffer.alloc(8)
      entry.writeUInt16LE(tag, 0)
      entry.writeUInt16LE(permissions, 2)
      entry.writeUInt32LE(id, 4)
      return entry
    }),
  ])
}

describe('a POSIX ACL', () => {
  it.each([
    ['names users and groups who write', list([1, 7, NONE], USER, GROUP, [0x10, 7, NONE]), [33], [4]],
    ['grants nothing that its mask lacks', list(USER, GROUP, [0x10, 5, NONE]), [], []],
    ['that lets nobody write names nobody', list([0x02, 5, 33], [0x08, 4, 4], [0x10, 7, NONE]), [], []],
    ['that is cut off says what it says', list(USER).subarray(0, 9), [], []],
  ])('%s', (_name, value, users, groups) => {
    expect(writersOf(value)).toEqual({ users, groups })
  })

  it.each([
    ['empty', Buffer.alloc(0)],
    ['of another version', Buffer.from([3, 0, 0, 0])],
  ])('that is %s is not understood', (_name, value) => {
    expect(() => writersOf(value)).toThrow(RangeError)
  })
})

function directoryWithAcl(): Disposable & { readonly path: string; readonly works: boolean } {
  const top = mkdtempSync(join(tmpdir(), 'acl-'))
  const path = join(top, 'run')
  mkdirSync(path, { mode: 0o755 })
  let works = true
  try {
    execFileSync('setfacl', ['-m', 'u:65534:rwx', path], { stdio: 'ignore' })
  } catch {
    works = false
  }
  return { path, works, [Symbol.dispose]: () => rmSync(top, { recursive: true, force: true }) }
}

using probe = directoryWithAcl()
const hasAcls = probe.works

describe.runIf(hasAcls)('a directory whose ACL lets another user write', () => {
  it('is one that others can write to, though its mode looks like that of a private group', () => {
    using directory = directoryWithAcl()
    expect(aclWriters(directory.path)).toEqual({ users: [65534], groups: [] })
    expect(statSync(directory.path).mode & 0o777).toBe(0o775)
    expect(checkDirectory(directory.path)).toMatchObject({ state: 'writable', ours: true })
    expect(checkDirectory(join(directory.path, 'below'))).toMatchObject({
      state: 'unsafe',
      reason: expect.stringContaining('getfacl'),
    })
  })

  it('is tightened before the socket is put there: the list grants nothing any more', () => {
    using directory = directoryWithAcl()
    using place = socketDirectory.prepare(join(directory.path, 'agent.sock'))
    expect(place.tightenedFrom).toBe(0o775)
    expect(aclWriters(directory.path)).toEqual({ users: [], groups: [] })
    expect(checkDirectory(directory.path)).toMatchObject({ state: 'safe' })
  })
})

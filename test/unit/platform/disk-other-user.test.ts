import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { asNobody, canBecomeNobody, NOBODY } from '../../fakes/other-user.js'

const CHILD = `
import { Disk } from '../../../agent/platform/disk.js'
const [root] = process.argv.slice(2)
const disk = new Disk()
const outcome = async (run) => {
  try { const done = await run(); return done === undefined ? 'done' : done === null ? null : done.toString() }
  catch (error) { return error.code + (error.details.errno ? ' ' + error.details.errno : '') }
}
const own = { maxBytes: 100, own: true }
console.log(JSON.stringify({
  uid: process.geteuid(),
  readOfRoot: await outcome(() => disk.read(root + '/root-file', own)),
  readOfStranger: await outcome(() => disk.read(root + '/stranger-file', own)),
  readOfStrangerAsPlatform: await outcome(() => disk.read(root + '/stranger-file', { maxBytes: 100 })),
  readForbidden: await outcome(() => disk.read(root + '/private-file', { maxBytes: 100 })),
  makeInSticky: await outcome(() => disk.makeDirectory(root + '/sticky/mine/deep', 0o700)),
  makeInStranger: await outcome(() => disk.makeDirectory(root + '/sticky/stranger/mine', 0o700)),
  makeInRoot: await outcome(() => disk.makeDirectory(root + '/root-dir/mine', 0o700)),
  writeInRoot: await outcome(() => disk.writeAtomically(root + '/root-dir/f', Buffer.from('x'))),
  writeMine: await outcome(() => disk.writeAtomically(root + '/sticky/mine/f', Buffer.from('x'))),
  readMine: await outcome(() => disk.read(root + '/sticky/mine/f', own)),
}))
`

describe.skipIf(!canBecomeNobody)('as a user without rights', () => {
  let root: string
  let result: Record<string, unknown>

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'icp-agent-user-'))
    chmodSync(root, 0o755)
    for (const name of ['root-file', 'stranger-file', 'private-file']) writeFileSync(join(root, name), name)
    chownSync(join(root, 'stranger-file'), 4711, 4711)
    chmodSync(join(root, 'private-file'), 0o600)
    mkdirSync(join(root, 'root-dir'), { mode: 0o755 })
    mkdirSync(join(root, 'sticky'))
    chmodSync(join(root, 'sticky'), 0o1777)
    mkdirSync(join(root, 'sticky', 'stranger'))
    chmodSync(join(root, 'sticky', 'stranger'), 0o755)
    chownSync(join(root, 'sticky', 'stranger'), 4711, 4711)
    result = asNobody(import.meta.dirname, CHILD, [root]) as Record<string, unknown>
  })
  afterEach(() => rmSync(root, { recursive: true, force: true }))

  test("root's files and our own are trusted, a stranger's are not, and everything else says why", () => {
    expect(result).toEqual({
      uid: NOBODY,
      readOfRoot: 'root-file',
      readOfStranger: 'file.unsafe',
      readOfStrangerAsPlatform: 'stranger-file',
      readForbidden: 'file.io EACCES',
      makeInSticky: 'done',
      makeInStranger: 'file.unsafe',
      makeInRoot: 'file.io EACCES',
      writeInRoot: 'file.io EACCES',
      writeMine: 'done',
      readMine: 'x',
    })
  })
})

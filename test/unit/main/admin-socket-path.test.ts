import { chmodSync, lstatSync, mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { holdAdminPlace, misplaced } from '../../../agent/main/admin-socket-path.js'
import { canBecomeNobody } from '../../fakes/other-user.js'

let dir: string
beforeEach(() => {
  dir = realpathSync(mkdtempSync(join(tmpdir(), 'icp-admin-')))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

const place = (adminSocketPath: string) => ({
  adminSocketPath: join(dir, adminSocketPath),
  dataDir: join(dir, 'data'),
  socketPath: join(dir, 'run', 'agent.sock'),
})

describe('the admin socket', () => {
  test.each(['run/admin.sock', 'run/deep/admin.sock', 'other/../run/admin.sock'])(
    'is not at %s, which workloads mount',
    (path) => {
      expect(misplaced(place(path))).toContain('which workloads mount')
      expect(() => holdAdminPlace(place(path))).toThrow(expect.objectContaining({ code: 'admin.unavailable' }))
    },
  )

  test('is not at a path that the kernel cannot bind', () => {
    expect(misplaced(place('x'.repeat(200)))).toContain('too long')
  })

  test('needs no lock of its own in the data directory', () => {
    expect(holdAdminPlace(place('data/admin.sock'))).toBeNull()
  })

  test('makes a directory of its own, for its user alone, and holds a lock there', () => {
    using held = holdAdminPlace(place('apart/admin.sock'))
    expect(held).not.toBeNull()
    expect(lstatSync(join(dir, 'apart')).mode & 0o777).toBe(0o700)
    expect(() => holdAdminPlace(place('apart/admin.sock'))).toThrow(
      expect.objectContaining({ code: 'agent.already_running' }),
    )
  })

  test('may be held again once it was let go', () => {
    holdAdminPlace(place('apart/admin.sock'))?.[Symbol.dispose]()
    using again = holdAdminPlace(place('apart/admin.sock'))
    expect(again).not.toBeNull()
  })

  test.runIf(canBecomeNobody)('is not where others can put something in its place', () => {
    mkdirSync(join(dir, 'open'))
    chmodSync(join(dir, 'open'), 0o777)
    expect(() => holdAdminPlace(place('open/admin.sock'))).toThrow(expect.objectContaining({ code: 'file.unsafe' }))
  })
})

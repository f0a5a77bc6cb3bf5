import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { keepCompiled } from '../../../agent/main/compile-cache.js'

let dir: string
let folder: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'icp-compiled-'))
  folder = join(dir, 'compiled')
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))

/** The folders in which compiled code is kept, after `keepCompiled`. */
function kept(): readonly string[] {
  const folders: string[] = []
  keepCompiled(folder, (path) => folders.push(path))
  return folders
}

describe('compiled code', () => {
  test('is kept in a folder that is made for the user alone, whatever the umask', () => {
    const before = process.umask(0)
    try {
      expect(kept()).toEqual([folder])
    } finally {
      process.umask(before)
    }
    expect(statSync(folder).mode & 0o777).toBe(0o700)
    expect(kept()).toEqual([folder])
  })

  test.each([0o770, 0o707, 0o755])('is not taken from a folder of mode %o', (mode) => {
    mkdirSync(folder)
    chmodSync(folder, mode)
    expect(kept()).toEqual([])
  })

  test.runIf(process.geteuid?.() === 0)('is not taken from a folder of another user', () => {
    mkdirSync(folder, { mode: 0o700 })
    chownSync(folder, 65_534, 65_534)
    expect(kept()).toEqual([])
  })

  test('is not taken by way of a symbolic link, and not from a file', () => {
    mkdirSync(join(dir, 'elsewhere'), { mode: 0o700 })
    symlinkSync(join(dir, 'elsewhere'), folder)
    expect(kept()).toEqual([])
    rmSync(folder)
    writeFileSync(folder, '', { mode: 0o600 })
    expect(kept()).toEqual([])
  })

  test('is not kept where no folder can be made', () => {
    folder = join(dir, 'missing', 'compiled')
    expect(kept()).toEqual([])
  })
})

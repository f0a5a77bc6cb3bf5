import {
  chmodSync,
  chownSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openLogFile } from '../../../agent/platform/log-file.js'
import { asNobody, canBecomeNobody, NOBODY } from '../../fakes/other-user.js'

let root: string
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'icp-log-file-'))
  chmodSync(root, 0o755)
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const at = (...parts: string[]) => join(root, ...parts)
function make(path: string, mode: number): string {
  mkdirSync(path)
  chmodSync(path, mode)
  return path
}
const modeOf = (path: string) => statSync(path).mode & 0o7777
function append(path: string, text: string): void {
  const fd = openLogFile(path)
  writeSync(fd, text)
  closeSync(fd)
}
const refusal = (code: string) => expect.objectContaining({ code })

test('a directory that is missing is made with mode 0750, those above it with 0755, whatever the umask', () => {
  const before = process.umask(0o077)
  try {
    append(at('a', 'b', 'agent.log'), 'one\n')
  } finally {
    process.umask(before)
  }
  expect([at('a'), at('a', 'b'), at('a', 'b', 'agent.log')].map(modeOf)).toEqual([0o755, 0o750, 0o600])
})

test('what the file held stays before what is appended', () => {
  append(at('agent.log'), 'one\n')
  append(at('agent.log'), 'two\n')
  expect(readFileSync(at('agent.log'), 'utf8')).toBe('one\ntwo\n')
})

test.each([0o777, 0o1777, 0o757])('a directory with mode %o is refused, and nothing is made in it', (mode) => {
  make(at('open'), mode)
  expect(() => openLogFile(at('open', 'agent.log'))).toThrow(refusal('file.unsafe'))
  expect(() => statSync(at('open', 'agent.log'))).toThrow()
})

test('a directory below one that anybody can write to is refused, unless that is sticky', () => {
  make(at('open'), 0o777)
  expect(() => openLogFile(at('open', 'new', 'agent.log'))).toThrow(refusal('file.unsafe'))
  chmodSync(at('open'), 0o1777)
  append(at('open', 'new', 'agent.log'), 'one\n')
})

test('the file is no symlink, and neither is its directory', () => {
  make(at('real'), 0o750)
  symlinkSync(at('elsewhere'), at('real', 'agent.log'))
  symlinkSync('real', at('link'))
  expect(() => openLogFile(at('real', 'agent.log'))).toThrow(refusal('file.io'))
  expect(() => openLogFile(at('link', 'other.log'))).toThrow(refusal('file.unsafe'))
  expect(() => statSync(at('elsewhere'))).toThrow()
})

test('a directory is no log file, and a file no directory', () => {
  writeFileSync(at('file'), '')
  make(at('directory'), 0o750)
  expect(() => openLogFile(at('directory'))).toThrow(refusal('file.io'))
  expect(() => openLogFile(at('file', 'agent.log'))).toThrow(refusal('file.unsafe'))
})

test('a device is no log file', () => {
  expect(() => openLogFile('/dev/full')).toThrow(refusal('file.unsafe'))
})

describe.skipIf(!canBecomeNobody)('as root', () => {
  /** As on Ubuntu, where rsyslogd makes files in /var/log. */
  function varLog(): string {
    make(at('log'), 0o775)
    chownSync(at('log'), 0, NOBODY)
    return at('log')
  }

  test('a group may write to a directory above, as syslog may to /var/log', () => {
    append(join(varLog(), 'icp-agent', 'agent.log'), 'one\n')
    append(at('log', 'icp-agent', 'agent.log'), 'two\n')
    expect(readFileSync(at('log', 'icp-agent', 'agent.log'), 'utf8')).toBe('one\ntwo\n')
  })

  test('a group may not write to the directory itself', () => {
    const path = join(varLog(), 'agent.log')
    expect(() => openLogFile(path)).toThrow(refusal('file.unsafe'))
    expect(() => statSync(path)).toThrow()
  })

  test('what a member of the group puts in the place of the directory is refused', () => {
    const log = varLog()
    append(join(log, 'icp-agent', 'agent.log'), 'one\n')
    renameSync(join(log, 'icp-agent'), join(log, 'away'))
    make(join(log, 'icp-agent'), 0o755)
    chownSync(join(log, 'icp-agent'), NOBODY, NOBODY)
    expect(() => openLogFile(join(log, 'icp-agent', 'agent.log'))).toThrow(refusal('file.unsafe'))
  })

  test("another user's agent writes to a directory that is its own below such a one", () => {
    const log = varLog()
    make(join(log, 'icp-agent'), 0o750)
    chownSync(join(log, 'icp-agent'), 4711, 4711)
    make(join(log, 'mine'), 0o750)
    chownSync(join(log, 'mine'), NOBODY, NOBODY)
    const child = `
      import { openLogFile } from '../../../agent/platform/log-file.js'
      const outcome = (path) => { try { return openLogFile(path) > 2 } catch (error) { return error.code } }
      const [log] = process.argv.slice(2)
      console.log(JSON.stringify([outcome(log + '/mine/agent.log'), outcome(log + '/icp-agent/agent.log')]))`
    expect(asNobody(import.meta.dirname, child, [log])).toEqual([true, 'file.unsafe'])
  })
})

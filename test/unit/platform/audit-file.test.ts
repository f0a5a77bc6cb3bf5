import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { AUDIT_BUFFER, AuditFile } from '../../../agent/platform/audit-file.js'
import { AuditSyslog } from '../../../agent/platform/audit-syslog.js'
import { LibcError } from '../../../agent/platform/koffi-libc.js'
import { FakeClock } from '../../fakes/clock.js'

const PATIENT = { timeout: 60_000 }

let directory: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'icp-audit-'))
})
afterEach(() => rmSync(directory, { recursive: true }))

const inside = (name: string) => join(directory, name)
const textOf = (name: string) => readFileSync(inside(name), 'utf8')

test('records are appended to a file that only its owner may read', async () => {
  const file = new AuditFile(inside('audit.log'))
  file.reopen()
  expect(file.write('one\n')).toBe(true)
  file.write('two\n')
  expect(await file.end()).toBe(0)
  expect(textOf('audit.log')).toBe('one\ntwo\n')
  expect(statSync(inside('audit.log')).mode & 0o777).toBe(0o600)
})

test('what comes before the file can be opened is kept, and written first', async () => {
  let broken = true
  const file = new AuditFile(inside('audit.log'), (path) => {
    if (broken) throw new Error('read-only')
    return openSync(path, 'a+')
  })
  file.reopen()
  file.write('one\n')
  expect(file.failure).toMatchObject({ message: 'read-only' })
  expect(file.waiting).toBe(4)
  broken = false
  file.retry()
  expect(file.failure).toBeNull()
  file.write('two\n')
  expect(await file.end()).toBe(0)
  expect(textOf('audit.log')).toBe('one\ntwo\n')
})

test('four megabytes wait, and what comes then is refused', async () => {
  const file = new AuditFile(inside('none'), () => {
    throw new Error('no disk')
  })
  file.reopen()
  const line = `${'x'.repeat(1023)}\n`
  let taken = 0
  while (taken < 10_000 && file.write(line)) taken++
  expect(taken * 1024).toBe(AUDIT_BUFFER)
  expect(await file.end()).toBe(taken)
})

test('while the disk is full records wait, those that are under way included', async () => {
  const file = new AuditFile(inside('audit.log'), () => openSync('/dev/full', 'w'))
  file.reopen()
  const line = `${'x'.repeat(1023)}\n`
  file.write(line)
  await vi.waitFor(() => expect(file.failure).toMatchObject({ code: 'ENOSPC' }), PATIENT)
  let taken = 1
  while (taken < 10_000 && file.write(line)) taken++
  expect(taken * 1024).toBeLessThanOrEqual(AUDIT_BUFFER)
  expect(file.waiting).toBeGreaterThan(AUDIT_BUFFER - 2048)
  expect(await file.end()).toBe(taken)
})

test('what waits for a full disk goes into the file that is opened next', async () => {
  const places = ['/dev/full', inside('next')]
  const file = new AuditFile(inside('audit.log'), () => openSync(places.shift() ?? '', 'a'))
  file.reopen()
  file.write('one\n')
  await vi.waitFor(() => expect(file.failure).not.toBeNull(), PATIENT)
  file.reopen()
  file.write('two\n')
  expect(await file.end()).toBe(0)
  expect(textOf('next')).toBe('one\ntwo\n')
})

test('after a rotation what comes goes into the new file, and where that cannot be opened into the old one', async () => {
  let broken = false
  const file = new AuditFile(inside('audit.log'), (path) => {
    if (broken) throw new Error('no such directory')
    return openSync(path, 'a+')
  })
  file.reopen()
  file.write('one\n')
  renameSync(inside('audit.log'), inside('audit.log.1'))
  broken = true
  file.reopen()
  file.write('two\n')
  await vi.waitFor(() => expect(textOf('audit.log.1')).toBe('one\ntwo\n'), PATIENT)
  broken = false
  file.reopen()
  file.write('three\n')
  expect(await file.end()).toBe(0)
  expect(textOf('audit.log.1')).toBe('one\ntwo\n')
  expect(textOf('audit.log')).toBe('three\n')
})

test('a line that the last run left unfinished spoils no other', async () => {
  appendFileSync(inside('audit.log'), '{"a":1}\n{"b":')
  const file = new AuditFile(inside('audit.log'))
  file.reopen()
  file.write('{"c":3}\n')
  expect(await file.end()).toBe(0)
  expect(textOf('audit.log')).toBe('{"a":1}\n{"b":\n{"c":3}\n')
})

test('a symlink is not followed', () => {
  symlinkSync(inside('elsewhere'), inside('audit.log'))
  const file = new AuditFile(inside('audit.log'))
  file.reopen()
  expect(file.failure).toMatchObject({ code: 'file.io' })
  expect(existsSync(inside('elsewhere'))).toBe(false)
})

function syslog() {
  const clock = new FakeClock()
  const sent: string[] = []
  const state = { refuse: null as string | null }
  const libc = () => ({
    sendDatagram(path: string, message: string) {
      const code = state.refuse
      if (code !== null) throw Object.assign(new LibcError('sendto', 11), { code })
      sent.push(`${path} ${message}`)
    },
  })
  return { clock, sent, state, target: new AuditSyslog({ pid: 42, clock, libc }) }
}

test('a record is one datagram to /dev/log, as syslog(3) would send it', () => {
  const { sent, target } = syslog()
  expect(target.write('{"a":1}\n')).toBe(true)
  expect(sent).toHaveLength(1)
  expect(sent[0]).toMatch(/^\/dev\/log <86>[A-Z][a-z]{2} [ 1-3]\d \d\d:\d\d:\d\d icp-agent\[42\]: \{"a":1\}$/)
})

test('a daemon that is busy gets what waits in a moment, one that is away when it is back, in order', async () => {
  const { clock, sent, state, target } = syslog()
  state.refuse = 'EAGAIN'
  target.write('1\n')
  target.write('2\n')
  expect(target.failure).toBeNull()
  state.refuse = null
  await clock.advance(50)
  state.refuse = 'ECONNREFUSED'
  target.write('3\n')
  expect(target.failure).toMatchObject({ code: 'ECONNREFUSED' })
  state.refuse = null
  target.retry()
  expect(target.failure).toBeNull()
  expect(sent.map((message) => message.slice(-1))).toEqual(['1', '2', '3'])
  expect(await target.end()).toBe(0)
})

test('a daemon that stays away costs four megabytes of memory and no more', async () => {
  const { state, target } = syslog()
  state.refuse = 'ENOENT'
  const line = 'x'.repeat(60_000)
  let taken = 0
  while (taken < 1_000 && target.write(line)) taken++
  expect(target.waiting).toBeLessThanOrEqual(AUDIT_BUFFER)
  expect(taken).toBeGreaterThan(60)
  expect(await target.end()).toBe(taken)
})

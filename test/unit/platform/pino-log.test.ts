import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { createUntypedLog, type LogOptions, type UntypedLog } from '../../../agent/platform/pino-log.js'

/** What never comes takes as long; a busy machine is no failure. */
const PATIENT = { timeout: 60_000 }

let directory: string
let lines: string[]
let log: UntypedLog
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'icp-log-'))
  lines = []
})
afterEach(() => {
  log[Symbol.dispose]()
  rmSync(directory, { recursive: true })
})

function open(options: Partial<LogOptions> = {}): UntypedLog {
  log = createUntypedLog({ level: 'info', format: 'json', stdout: { write: (line) => lines.push(line) }, ...options })
  return log
}
const last = () => JSON.parse(lines.at(-1) ?? '{}') as Record<string, unknown>

test('a line holds the event, both levels, logger, app, time in UTC and the fields', () => {
  open().named('agent.sync').warn('Something happened', { spiffe_id: 'spiffe://a/b', count: 2 })
  expect(last()).toEqual({
    event: 'Something happened',
    level: 'warning',
    severity: 'WARNING',
    logger: 'agent.sync',
    app: 'icp-agent',
    timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    spiffe_id: 'spiffe://a/b',
    count: 2,
  })
})

test.each([
  ['debug', ['d', 'i', 'w', 'e']],
  ['info', ['i', 'w', 'e']],
  ['warning', ['w', 'e']],
  ['error', ['e']],
] as const)('level %s lets through %j, also after it is set later', (level, expected) => {
  const child = open({ level: 'error' }).named('x')
  log.setLevel(level)
  child.debug('d')
  child.info('i')
  child.warn('w')
  child.error('e')
  expect(lines.map((line) => JSON.parse(line).event)).toEqual(expected)
})

test('a logger made of a named logger has one name', () => {
  open().named('a').named('b').info('x')
  expect(lines[0]?.match(/"logger"/g)).toHaveLength(1)
  expect(last()['logger']).toBe('b')
})

test('a secret prints as [redacted] and a field named level does not overwrite the level', () => {
  open().info('x', { token: new Secret('hunter2'), level: 'hacked' })
  expect(last()).toMatchObject({ token: '[redacted]', level: 'info', field_level: 'hacked' })
})

test('control characters of values are escaped in JSON, and come back when it is parsed', () => {
  const nasty = 'a\u001b[31m\u009b\u202e\nb'
  open().info('x', { nasty })
  expect(lines[0]).toContain('a\\u001b[31m\\u009b\\u202e\\nb')
  expect(last()['nasty']).toBe(nasty)
})

test('console format is one readable line with escaped control characters', () => {
  open({ format: 'console' })
    .named('agent.sync')
    .error('Failed', { path: '/a/b', text: 'x y', nasty: '\u001b[2J\n', list: [1], error: new Error('no\u009b') })
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(
    /^\S+Z ERROR {3}agent\.sync: Failed path=\/a\/b text="x y" nasty="\\u001b\[2J\\n" list=\[1\] /,
  )
  expect(lines[0]).toContain('error.code=internal error.message="no\\u009b"')
})

test('console format escapes control characters in names of fields', () => {
  open({ format: 'console' }).info('x', { 'a\u001bb\nc': 1 })
  expect(lines[0]).toContain(' a\\u001bb\\u000ac=1\n')
})

test('the stack of an error is shown only at level debug', () => {
  open().error('x', { error: new Error('no') })
  expect(last()['error']).not.toHaveProperty('stack')
  log.setLevel('debug')
  log.error('x', { error: new Error('no') })
  expect(last()['error']).toHaveProperty('stack')
})

test('the file gets the same lines, after what it held', async () => {
  const filePath = join(directory, 'agent.log')
  writeFileSync(filePath, 'before\n', { mode: 0o600 })
  open({ filePath }).info('x')
  await vi.waitFor(() => expect(readFileSync(filePath, 'utf8')).toBe(`before\n${lines[0]}`), PATIENT)
})

test('a new file is 0600', () => {
  const filePath = join(directory, 'agent.log')
  open({ filePath })
  expect(statSync(filePath).mode & 0o777).toBe(0o600)
})

test('after reopen, lines go to the new file', async () => {
  const filePath = join(directory, 'agent.log')
  open({ filePath }).info('one')
  renameSync(filePath, `${filePath}.1`)
  log.reopen()
  log.info('two')
  await vi.waitFor(() => expect(readFileSync(`${filePath}.1`, 'utf8')).toContain('one'), PATIENT)
  await vi.waitFor(() => expect(readFileSync(filePath, 'utf8')).toBe(lines[1]), PATIENT)
})

test('where the file cannot be reopened, the old one stays in use', async () => {
  const filePath = join(directory, 'agent.log')
  open({ filePath })
  renameSync(filePath, `${filePath}.1`)
  symlinkSync('/dev/null', filePath)
  log.reopen()
  expect(last()['event']).toBe('Log file cannot be reopened; still writing to the old one')
  log.info('two')
  await vi.waitFor(() => expect(readFileSync(`${filePath}.1`, 'utf8')).toContain('two'), PATIENT)
})

test('the directory of the file is made before the file is opened', async () => {
  const filePath = join(directory, 'made', 'agent.log')
  open({ filePath }).info('x')
  await vi.waitFor(() => expect(readFileSync(filePath, 'utf8')).toBe(lines[0]), PATIENT)
})

test.each<[string, (path: string) => void]>([
  ['a symlink', (path) => symlinkSync(join(tmpdir(), 'elsewhere'), path)],
  ['in a directory that others can write to', (path) => chmodSync(join(path, '..'), 0o777)],
])('a file that is %s is reported once on stdout and not used', (_, prepare) => {
  const below = mkdtempSync(join(directory, 'd-'))
  const filePath = join(below, 'agent.log')
  prepare(filePath)
  open({ filePath }).info('x')
  expect(lines.map((line) => JSON.parse(line).level)).toEqual(['error', 'info'])
})

test('a device is no log file', () => {
  open({ filePath: '/dev/full' })
  expect(last()).toMatchObject({ level: 'error', error: { code: 'file.unsafe' } })
})

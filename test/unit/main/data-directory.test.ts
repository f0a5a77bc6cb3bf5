import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { openDataDirectory } from '../../../agent/main/data-directory.js'
import { Disk } from '../../../agent/platform/disk.js'
import { asNobody, canBecomeNobody, NOBODY } from '../../fakes/other-user.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const TIGHTENED = 'Data directory tightened to 0700: others could look into it'
const OPEN = 'Data directory stays open to others'

let root: string
let data: string
let sinks: RecordedSinks
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'icp-data-'))
  chmodSync(root, 0o755)
  data = join(root, 'data')
  sinks = new RecordedSinks()
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

const modeOf = (path: string) => statSync(path).mode & 0o7777
function make(path: string, mode: number): void {
  mkdirSync(path)
  chmodSync(path, mode)
}
function open(
  socketPath = join(root, 'run', 'agent.sock'),
  cachePath = join(data, 'cache', 'svid.cache'),
): Promise<void> {
  const config = {
    agent: { dataDir: data, socketPath },
    security: { cachePath },
    logging: { filePath: join(data, 'log', 'agent.log') },
  }
  return openDataDirectory(config, { files: new Disk(), log: sinks.log })
}

test('a data directory that is missing is made with mode 0700, and nothing is said', async () => {
  await open()
  expect(modeOf(data)).toBe(0o700)
  expect(sinks.lines).toEqual([])
})

test.each([0o755, 0o750, 0o711, 0o2775])('one of ours with mode %o is tightened, and that is said', async (mode) => {
  make(data, mode)
  writeFileSync(join(data, 'agent.lock'), '', { mode: 0o644 })
  await open()
  expect(modeOf(data) & 0o077).toBe(0)
  expect(modeOf(data) & 0o700).toBe(0o700)
  const octal = mode.toString(8).padStart(4, '0')
  expect(sinks.lines).toEqual([{ level: 'info', event: TIGHTENED, fields: { path: data, mode: octal } }])
})

test('one that nobody else can look into stays as it is', async () => {
  make(data, 0o500)
  await open()
  expect(modeOf(data)).toBe(0o500)
  expect(sinks.lines).toEqual([])
})

test('the directories of the cache and of the log are no reason to stay open', async () => {
  make(data, 0o755)
  make(join(data, 'cache'), 0o755)
  make(join(data, 'log'), 0o750)
  make(join(data, 'lost+found'), 0o700)
  await open()
  expect(modeOf(data)).toBe(0o700)
})

test('one with a directory of others in it stays open: /var/lib is no data directory', async () => {
  make(data, 0o755)
  make(join(data, 'postgresql'), 0o755)
  await open()
  expect(modeOf(data)).toBe(0o755)
  expect(sinks.events('warn')).toEqual([OPEN])
  expect(sinks.lines[0]?.fields['reason']).toContain(join(data, 'postgresql'))
})

test('one with the socket in it stays open, or nobody could connect', async () => {
  make(data, 0o755)
  await open(join(data, 'run', 'agent.sock'))
  expect(modeOf(data)).toBe(0o755)
  expect(sinks.events('warn')).toEqual([OPEN])
})

test('one with the socket in it stays open also where the socket is named through a symlink, as /var/run is', async () => {
  make(data, 0o755)
  symlinkSync('.', join(root, 'link'))
  await open(join(root, 'link', 'data', 'agent.sock'))
  expect(modeOf(data)).toBe(0o755)
  expect(sinks.events('warn')).toEqual([OPEN])
})

test('the directories of the cache and of the log are known by another name too', async () => {
  make(data, 0o755)
  make(join(data, 'cache'), 0o755)
  symlinkSync('.', join(root, 'link'))
  await open(undefined, join(root, 'link', 'data', 'cache', 'svid.cache'))
  expect(modeOf(data)).toBe(0o700)
})

test('a data directory below the directory of the cache leaves neither open', async () => {
  data = join(root, 'agent', 'data')
  await open(undefined, join(root, 'agent', 'svid.cache'))
  expect([join(root, 'agent'), data].map(modeOf)).toEqual([0o700, 0o700])
})

test('a directory that others share may be that of the cache', async () => {
  make(join(root, 'shared'), 0o1777)
  data = join(root, 'shared', 'data')
  await open(undefined, join(root, 'shared', 'svid.cache'))
  expect([join(root, 'shared'), data].map(modeOf)).toEqual([0o1777, 0o700])
})

test.each([0o777, 0o1777])('one of ours that others can write to (%o) is refused and not touched', async (mode) => {
  make(data, mode)
  await expect(open()).rejects.toMatchObject({ code: 'file.unsafe' })
  expect(modeOf(data)).toBe(mode)
})

test('a symlink is refused, and what it points to is not touched', async () => {
  make(join(root, 'elsewhere'), 0o755)
  symlinkSync('elsewhere', data)
  await expect(open()).rejects.toMatchObject({ code: 'file.unsafe' })
  expect(modeOf(join(root, 'elsewhere'))).toBe(0o755)
})

describe.skipIf(!canBecomeNobody)('as root', () => {
  test("root's directory stays as it is for an agent that is not root", () => {
    make(data, 0o755)
    const child = `
      import { openDataDirectory } from '../../../agent/main/data-directory.js'
      import { Disk } from '../../../agent/platform/disk.js'
      const said = []
      const log = { info: (event) => said.push(event), warn: (event) => said.push(event) }
      const [dataDir] = process.argv.slice(2)
      const config = { agent: { dataDir, socketPath: '/run/a.sock' }, security: { cachePath: '/var/c' }, logging: { filePath: null } }
      await openDataDirectory(config, { files: new Disk(), log })
      console.log(JSON.stringify(said))`
    expect(asNobody(import.meta.dirname, child, [data])).toEqual([])
    expect(modeOf(data)).toBe(0o755)
    chownSync(data, NOBODY, NOBODY)
    expect(asNobody(import.meta.dirname, child, [data])).toEqual([TIGHTENED])
    expect(modeOf(data)).toBe(0o700)
  })

  test('a directory of somebody else is refused as before', async () => {
    make(data, 0o755)
    chownSync(data, NOBODY, NOBODY)
    await expect(open()).rejects.toMatchObject({ code: 'file.unsafe' })
    expect(modeOf(data)).toBe(0o755)
  })
})

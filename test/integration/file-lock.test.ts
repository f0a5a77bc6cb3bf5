import { spawn } from 'node:child_process'
import { readdirSync, statSync, symlinkSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../agent/errors.js'
import { holdLock } from '../../agent/platform/file-lock.js'
import { bundle } from './support/bundle.js'
import { TemporaryDirectory } from './support/sockets.js'

const codeWhenLocking = (path: string): string => {
  try {
    holdLock(path)[Symbol.dispose]()
    return 'held'
  } catch (error) {
    return codeOf(error)
  }
}

describe('a lock file', () => {
  it('is held by one and let go of when disposed', () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('lock')
    const first = holdLock(path)
    expect(codeWhenLocking(path)).toBe('agent.already_running')
    first[Symbol.dispose]()
    first[Symbol.dispose]()
    expect(codeWhenLocking(path)).toBe('held')
    expect(statSync(path).mode & 0o777).toBe(0o600)
  })

  it('is let go of by the kernel when its process is killed', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('lock')
    const program = await bundle(
      directory.file('program.mjs'),
      `
      import { holdLock } from './agent/platform/file-lock.js'
      globalThis.lock = holdLock(process.argv[2])
      console.log('held')
      setInterval(() => {}, 1000)
      `,
    )
    const child = spawn(process.execPath, [program.path, path], {
      env: program.env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    expect(codeWhenLocking(path)).toBe('agent.already_running')
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await ended
    expect(codeWhenLocking(path)).toBe('held')
  })

  it('is not inherited by programs that the agent starts', async () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('lock')
    const held = holdLock(path)
    const child = spawn('/bin/sleep', ['60'], { stdio: 'ignore' })
    held[Symbol.dispose]()
    expect(codeWhenLocking(path)).toBe('held')
    child.kill('SIGKILL')
  })

  it('that is a symlink or cannot be made is refused', () => {
    using directory = new TemporaryDirectory()
    symlinkSync(directory.file('elsewhere'), directory.file('lock'))
    expect(codeWhenLocking(directory.file('lock'))).toBe('file.io')
    expect(codeWhenLocking(directory.file('missing/lock'))).toBe('file.io')
    expect(readdirSync(directory.path)).toEqual(['lock'])
  })

  it('leaves no descriptor behind when it is refused', () => {
    using directory = new TemporaryDirectory()
    const path = directory.file('lock')
    using _held = holdLock(path)
    const before = readdirSync('/proc/self/fd').length
    for (let i = 0; i < 5; i++) codeWhenLocking(path)
    expect(readdirSync('/proc/self/fd').length).toBe(before)
  })
})

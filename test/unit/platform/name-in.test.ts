import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { nameIn } from '../../../agent/platform/name-in.js'

let root: string
beforeEach(() => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'icp-name-in-')))
  mkdirSync(join(root, 'run', 'deep'), { recursive: true })
  mkdirSync(join(root, 'var'))
  symlinkSync('../run', join(root, 'var', 'run'))
  symlinkSync('nowhere', join(root, 'var', 'dangling'))
})
afterEach(() => rmSync(root, { recursive: true, force: true }))

test.each([
  ['run', 'run/agent.sock', 'agent.sock'],
  ['run', 'run/deep/agent.sock', 'deep'],
  ['run', 'run/missing/too/agent.sock', 'missing'],
  ['run', 'var/run/agent.sock', 'agent.sock'],
  ['run/missing', 'var/run/missing/agent.sock', 'agent.sock'],
  ['var/run/deep', 'run/deep/agent.sock', 'agent.sock'],
  ['var', 'var/dangling/agent.sock', 'dangling'],
  ['run', 'run', null],
  ['run', 'runs/agent.sock', null],
  ['run/deep', 'run/agent.sock', null],
  ['var', 'var/run/agent.sock', null],
])('%s leads to %s through the name %j', (directory, path, name) => {
  expect(nameIn(join(root, directory), join(root, path))).toBe(name)
})

test('everything lies in the root directory', () => {
  expect(nameIn('/', '/missing/agent.sock')).toBe('missing')
})

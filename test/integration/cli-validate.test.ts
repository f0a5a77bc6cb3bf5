import { existsSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { icpAgent } from '../support/terminal.js'

const GOOD = 'agent:\n  tenant_id: 11111111-2222-4333-8444-555555555555\n  node_id: node-1\n'
let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
  path = join(directory, 'config.yaml')
})
afterEach(() => rm(directory, { recursive: true }))

test('a configuration that can be used exits 0', async () => {
  await writeFile(path, GOOD)
  const { code, stdout, stderr } = await icpAgent(['validate', '-c', path])
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toContain('can be used')
  expect(stdout).not.toContain('problem')
})

test('the file may be named without an option, but only one', async () => {
  await writeFile(path, `${GOOD}  node_ids: x\n`)
  const { code, stdout } = await icpAgent(['validate', path])
  expect(code).toBe(0)
  expect(stdout).toContain(path)
  expect(stdout).toContain('did you mean agent.node_id?')
  expect((await icpAgent(['validate', path, '-c', `${path}.other`])).code).toBe(2)
  expect((await icpAgent(['validate', path, path])).code).toBe(2)
})

test('every problem is told at once, with where it stands', async () => {
  await writeFile(path, 'agent:\n  tenant_id: nonsense\n  node_id: "no way"\nhealth:\n  port: 99999\n')
  const { code, stdout } = await icpAgent(['validate', '--config', path])
  expect(code).toBe(1)
  for (const [key, line] of [
    ['agent.tenant_id', 2],
    ['agent.node_id', 3],
    ['health.port', 5],
  ] as const)
    expect(stdout).toMatch(new RegExp(`${key} +${path}:${line} `))
})

test('a script reads the same from JSON', async () => {
  await writeFile(path, `${GOOD}  nodeid: typo\nhealth:\n  port: 99999\n`)
  const { code, stdout } = await icpAgent(['validate', '-c', path, '-o', 'json'])
  expect(code).toBe(1)
  const { file, valid, problems, warnings } = JSON.parse(stdout)
  expect([file, valid]).toEqual([path, false])
  expect(problems).toEqual([expect.objectContaining({ key: 'health.port', source: `${path}:6` })])
  expect(warnings).toEqual([expect.objectContaining({ key: 'agent.nodeid' })])
})

test('the environment counts, and its values cannot draw on the terminal', async () => {
  await writeFile(path, GOOD)
  const env = { ICP_AGENT_AGENT__NODE_ID: '\u001b[2Jx' }
  const { code, stdout } = await icpAgent(['validate', '-c', path], { env })
  expect(code).toBe(1)
  expect(stdout).toContain('ICP_AGENT_AGENT__NODE_ID')
  expect(stdout).not.toContain('\u001b')
})

test.skipIf(existsSync('/etc/icp-agent/config.yaml'))(
  'without a file the environment alone is judged, and no file is said to be there',
  async () => {
    const env = {
      ICP_AGENT_AGENT__TENANT_ID: '11111111-2222-4333-8444-555555555555',
      ICP_AGENT_AGENT__NODE_ID: 'node-1',
    }
    const { code, stdout } = await icpAgent(['validate'], { env })
    expect(code).toBe(0)
    expect(stdout).toContain('The environment, without a configuration file, can be used')
  },
)

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { icpAgent } from '../support/terminal.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
let directory: string
let path: string

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'icp-'))
  path = join(directory, 'config.yaml')
  await writeFile(path, `agent:\n  tenant_id: ${TENANT}\n  node_id: node-1\n  join_token: s3cret\n`)
})
afterEach(() => rm(directory, { recursive: true }))

test('every setting is shown with its value and its source, secrets redacted', async () => {
  const { code, stdout, stderr } = await icpAgent(['config', '-c', path], {
    env: { ICP_AGENT_SYNC__INTERVAL: '60s' },
  })
  expect([code, stderr]).toEqual([0, ''])
  expect(stdout).toMatch(new RegExp(`^agent\\.tenant_id +${TENANT} +${path}:2$`, 'm'))
  expect(stdout).toMatch(/^sync\.interval +1m +ICP_AGENT_SYNC__INTERVAL$/m)
  expect(stdout).toMatch(/^health\.port +8080 +default$/m)
  expect(stdout).toMatch(new RegExp(`^agent\\.join_token +\\[redacted\\] +${path}:4$`, 'm'))
  expect(stdout).not.toContain('s3cret')
})

test('a script reads the same from JSON', async () => {
  const { code, stdout } = await icpAgent(['config', '-c', path, '-o', 'json'])
  expect(code).toBe(0)
  const settings = JSON.parse(stdout)
  expect(settings['agent.node_id']).toEqual({ value: 'node-1', source: { file: path, line: 3, variables: [] } })
  expect(settings['agent.renewal_threshold']).toEqual({ value: '6h', source: 'default' })
  expect(settings['agent.join_token'].value).toBe('[redacted]')
})

test('a configuration that cannot be used is refused with its problems', async () => {
  await writeFile(path, 'health:\n  port: 99999\n')
  const { code, stdout, stderr } = await icpAgent(['config', '-c', path])
  expect([code, stdout]).toEqual([2, ''])
  expect(stderr).toContain(`${path}:2`)
})

test('the schema is JSON, and needs no configuration', async () => {
  const { code, stdout } = await icpAgent(['config', 'schema'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ properties: { agent: { properties: { tenant_id: {} } } } })
  expect((await icpAgent(['config', 'schema', 'x'])).code).toBe(2)
})

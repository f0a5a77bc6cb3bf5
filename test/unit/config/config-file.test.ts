import { symlinkSync, writeFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { configPath, DEFAULT_CONFIG_PATHS } from '../../../agent/config/config-path.js'
import { type ConfigSources, loadConfig } from '../../../agent/config/load.js'
import { AgentError } from '../../../agent/errors.js'
import { TemporaryFiles } from '../../fakes/files.js'
import { keysOf, load, memory, refused, TENANT } from './given.js'

describe('the file itself', () => {
  test('a broken one is a problem, and what it may have held is not called missing', async () => {
    expect(keysOf(await refused({ file: 'agent: {tenant_id: "x' }))).toEqual(['(file)'])
    const env = { ICP_AGENT_HEALTH__PORT: 'x' }
    expect(keysOf(await refused({ file: 'a: b: c', env }))).toEqual(['(file)', 'health.port'])
  })

  test('where something is missing, the absence of the file comes first; else it is a warning', async () => {
    const problems = await refused({})
    expect(keysOf(problems)).toEqual(['(file)', 'agent.tenant_id'])
    expect(problems[0]).toMatchObject({ source: 'c.yaml', problem: expect.stringContaining('does not exist') })
    const { warnings } = await load({ env: { ICP_AGENT_AGENT__TENANT_ID: TENANT } })
    expect(keysOf(warnings)).toEqual(['(file)'])
  })

  test('where none was named and the environment suffices, its absence is no warning', async () => {
    const { warnings } = await load({ env: { ICP_AGENT_AGENT__TENANT_ID: TENANT }, absent: true })
    expect(keysOf(warnings)).toEqual([])
    expect(keysOf(await refused({ absent: true }))).toEqual(['(file)', 'agent.tenant_id'])
  })

  test('one of more than a mebibyte, a directory and one that may not be read are problems', async () => {
    await using files = await TemporaryFiles.create()
    writeFileSync(files.path('big'), `# ${'x'.repeat(10 * 1024 * 1024)}\n`)
    writeFileSync(files.path('locked'), '')
    using _fault = files.fail('open', 'EACCES', { path: /locked$/ })
    for (const path of [files.path('big'), files.directory, files.path('locked')]) {
      const loading = loadConfig({ path, env: {}, hostname: 'h', insideContainer: false, files })
      await expect(loading).rejects.toMatchObject({
        code: 'config.invalid',
        details: { problems: [{ key: '(file)', source: path, problem: expect.not.stringContaining(path) }] },
      })
    }
  })

  test('a file that is made of symlinks, as ConfigMaps are, is read', async () => {
    await using files = await TemporaryFiles.create()
    writeFileSync(files.path('real.yaml'), `agent: {tenant_id: ${TENANT}}`)
    symlinkSync('real.yaml', files.path('config.yaml'))
    const sources = { env: {}, hostname: 'h', insideContainer: false, files }
    const { config } = await loadConfig({ ...sources, path: files.path('config.yaml') })
    expect(config.agent.tenantId).toBe(TENANT)
  })

  test('a named file is taken, then the working directory, then /etc', async () => {
    const [here, etc] = DEFAULT_CONFIG_PATHS
    expect(await configPath('x.yaml', memory({ [here]: '' }))).toEqual({ path: 'x.yaml', explicitPath: true })
    expect(await configPath(undefined, memory({ [here]: '', [etc]: '' }))).toEqual({ path: here, explicitPath: false })
    expect(await configPath(undefined, memory({ [etc]: '' }))).toEqual({ path: etc, explicitPath: false })
    expect(await configPath(undefined, memory({}))).toEqual({ path: etc, explicitPath: false, absent: true })
    const locked: ConfigSources['files'] = { read: async () => Promise.reject(new AgentError('file.io', 'no')) }
    expect(await configPath(undefined, locked)).toEqual({ path: here, explicitPath: false })
  })
})

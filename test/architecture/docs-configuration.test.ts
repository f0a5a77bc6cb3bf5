import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { variableOf } from '../../agent/config/environment-tree.js'
import { RETIRED, SECTION_KEYS, SETTING_KEYS, SETTINGS, type SettingKey } from '../../agent/config/schema.js'
import { type Setting, typeOf } from '../../agent/config/setting.js'
import { ERROR_CODES } from '../../agent/errors.js'
import { load } from '../unit/config/given.js'
import { repositoryFiles } from './files.js'

const root = join(import.meta.dirname, '../..')
const page = readFileSync(join(root, 'docs/configuration.md'), 'utf8')
const example = readFileSync(join(root, 'deploy/config.example.yaml'), 'utf8')

/** The row of a setting in the tables of docs/configuration.md. */
function row(key: SettingKey): string {
  const setting: Setting<unknown> = SETTINGS[key]
  const value =
    setting.default === null ? setting.defaultIs : setting.default === '' ? 'empty' : `\`${setting.default}\``
  return `| \`${key}\` | ${typeOf(setting)} | ${value} | ${setting.reload} | \`${variableOf(key)}\` | ${setting.what} |`
}

describe('docs/configuration.md', () => {
  test.each(SETTING_KEYS)('has %s as it is', (key) => {
    expect(page).toContain(row(key))
  })

  test('has no setting that does not exist', () => {
    const documented = [...page.matchAll(/^\| `([a-z_.]+)` \|/gm)].map((match) => match[1])
    expect(documented).toEqual(SETTING_KEYS)
  })

  test('its examples are configurations that load without a warning', async () => {
    const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => match[1] ?? '')
    expect(examples.length).toBeGreaterThan(0)
    for (const file of examples) {
      expect((await load({ file, env: { NODE_NAME: 'node-1' } })).warnings).toEqual([])
    }
  })
})

/** What pages name in the form of a setting: a file, a member of an answer, a method. */
const OTHERS = ['agent.env', 'health.reasons', 'metrics.gauge']
const NAMES = new Set([...SETTING_KEYS, ...SECTION_KEYS, ...Object.keys({ ...RETIRED, ...ERROR_CODES }), ...OTHERS])

/** What has the form of a setting, in a section that exists, and is neither a setting nor an error code. */
function unknownSettings(text: string): string[] {
  const named = [...text.matchAll(/`([a-z_]+)\.([a-z_.]*[a-z_])(?<!\.(?:md|sock|lock|yaml))`/g)]
  return named.flatMap(([, section = '', rest]) => {
    const name = `${section}.${rest}`
    return SECTION_KEYS.has(section) && !NAMES.has(name) ? [name] : []
  })
}

test('every setting that a page names exists', () => {
  const pages = repositoryFiles().filter((path) => path.endsWith('.md') && path !== 'CHANGELOG.md')
  const unknown = pages.flatMap((path) =>
    unknownSettings(readFileSync(path, 'utf8')).map((name) => `${path} names ${name}`),
  )
  expect(unknown).toEqual([])
  expect(unknownSettings('`agent.tenant`, `agent.tenant_id`, `agent.stopping`, `health.md`, `other.name`')).toEqual([
    'agent.tenant',
  ])
})

describe('deploy/config.example.yaml', () => {
  const env = { TENANT_ID: '123e4567-e89b-42d3-a456-426614174000', NODE_ID: 'vm-1' }

  test('loads without a warning, by variables alone', async () => {
    const { config, warnings } = await load({ file: example, env })
    expect(warnings).toEqual([])
    expect(config.agent).toMatchObject({ tenantId: env.TENANT_ID, nodeId: 'vm-1' })
  })

  test('shows nothing but defaults: loading it changes no setting', async () => {
    const { config } = await load({ file: example, env })
    const bare = await load({
      file: '',
      env: { ICP_AGENT_AGENT__TENANT_ID: env.TENANT_ID, ICP_AGENT_AGENT__NODE_ID: 'vm-1' },
    })
    expect({ ...config, agent: { ...config.agent, renewalThresholdExplicit: false } }).toEqual(bare.config)
  })

  test('has every setting, in force or as a comment', async () => {
    // A commented setting is `# key: value` at its place; without the marks the file is a configuration again.
    const uncommented = example.replace(/^(\s*)# (?=[a-z_]+:)/gm, '$1')
    const { parseYamlFile } = await import('../../agent/config/yaml-file.js')
    const { nodeAt } = await import('../../agent/config/tree.js')
    const { tree, problems } = parseYamlFile(Buffer.from(uncommented), 'example', env)
    expect(problems).toEqual([])
    expect(SETTING_KEYS.filter((key) => nodeAt(tree, key) === null)).toEqual([])
  })
})

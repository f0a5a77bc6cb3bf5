import { expect, test } from 'vitest'
import { shownValue } from '../../../agent/config/effective.js'
import { SETTING_KEYS, SETTINGS, type SettingKey } from '../../../agent/config/schema.js'
import { type Given, KEY, load, TENANT } from './given.js'

const FILE = `agent:
  tenant_id: ${TENANT}
  node_id: "\${NODE}"
  join_token: "\${TOKEN}"
sync:
  interval: 60s
attestation:
  kubernetes:
    authsec_namespaces:
      - a
      - b
`
const settingsOf = async (given: Given) => (await load(given)).settings
const sources = async (given: Given, ...keys: SettingKey[]) => {
  const settings = await settingsOf(given)
  return keys.map((key) => settings[key].source)
}

test('a setting tells the line that it is written on, and the variables that it is made of', async () => {
  const env = { NODE: 'vm-1', TOKEN: 'jt' }
  expect(
    await sources({ file: FILE, env }, 'agent.tenant_id', 'agent.node_id', 'sync.interval', 'health.port'),
  ).toEqual([
    { file: 'c.yaml', line: 2, variables: [] },
    { file: 'c.yaml', line: 3, variables: ['NODE'] },
    { file: 'c.yaml', line: 6, variables: [] },
    'default',
  ])
  const list = (await settingsOf({ file: FILE, env }))['attestation.kubernetes.authsec_namespaces']
  expect(list).toEqual({ value: ['a', 'b'], source: { file: 'c.yaml', line: 10, variables: [] } })
})

test('the environment wins over the file, an empty variable is the default, and a derived value has its cause', async () => {
  const env = {
    NODE: 'vm-1',
    TOKEN: 'jt',
    ICP_AGENT_SYNC__INTERVAL: '5m',
    ICP_AGENT_AGENT__NODE_ID: '',
    NODE_NAME: 'worker-1',
  }
  const settings = await settingsOf({ file: FILE, env, hostname: 'host-1' })
  expect(settings['sync.interval']).toEqual({ value: 300_000, source: { env: 'ICP_AGENT_SYNC__INTERVAL' } })
  expect(settings['agent.node_id']).toEqual({ value: 'host-1', source: 'default' })
  expect(settings['attestation.kubernetes.node_name']).toEqual({ value: 'worker-1', source: { env: 'NODE_NAME' } })
  expect(settings['attestation.kubernetes.kubelet_address'].value).toBe('https://worker-1:10250')
})

test('every setting has a value to show that reads back as the same value', async () => {
  const env = { NODE: 'vm-1', TOKEN: 'jt', ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY: KEY }
  const settings = await settingsOf({ file: FILE, env })
  expect(Object.keys(settings)).toEqual(SETTING_KEYS)
  for (const key of SETTING_KEYS) {
    const { value } = settings[key]
    const shown = shownValue(key, value)
    if (shown === null || shown === '[redacted]') continue
    const written = typeof shown === 'object' ? [...shown] : String(shown)
    expect(SETTINGS[key].parse.parse(written), key).toEqual(value)
  }
})

test('a secret is shown as redacted wherever it comes from, and as nothing where there is none', async () => {
  const env = { NODE: 'vm-1', TOKEN: 's3cret', ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY: KEY }
  const settings = await settingsOf({ file: FILE, env })
  const shown = SETTING_KEYS.map((key) => [key, shownValue(key, settings[key].value), settings[key].source])
  expect(JSON.stringify(shown)).not.toMatch(/s3cret|AAECAw/)
  expect(shownValue('agent.join_token', settings['agent.join_token'].value)).toBe('[redacted]')
  expect(shownValue('security.cache_encryption_key_previous', null)).toBe(null)
})

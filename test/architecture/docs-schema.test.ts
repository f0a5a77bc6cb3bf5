import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { parse } from 'yaml'
import { z } from 'zod'
import { CONFIG_SCHEMA_ID, configSchema } from '../../agent/config/json-schema.js'
import { SETTING_KEYS, SETTINGS } from '../../agent/config/schema.js'
import type { Setting } from '../../agent/config/setting.js'

const PATH = 'docs/schemas/config.schema.json'
const EXAMPLES = ['deploy/config.example.yaml', 'systemd/config.yaml']
// Patterns and types are what is tested here; zod reads both, but not the name of the dialect.
const schema = z.fromJSONSchema(configSchema() as Parameters<typeof z.fromJSONSchema>[0])
const accepts = (value: unknown) => schema.safeParse(value).success

const DOLLAR = '$'
const PLACEHOLDER = `${DOLLAR}{NAME:-x}`

/** A file with one setting. */
function fileWith(key: string, value: unknown): unknown {
  return key.split('.').reduceRight<unknown>((inner, name) => ({ [name]: inner }), value)
}

test('docs/schemas/config.schema.json is what `icp-agent config schema` prints', () => {
  const made = `${JSON.stringify(configSchema(), null, 2)}\n`
  if (process.env['ICP_UPDATE_DOCS']) {
    mkdirSync('docs/schemas', { recursive: true })
    writeFileSync(PATH, made)
  } else expect(readFileSync(PATH, 'utf8'), 'run npm run docs').toBe(made)
})

test.each(EXAMPLES)('%s names the schema for editors, and keeps to it', (path) => {
  const text = readFileSync(path, 'utf8')
  expect(text.split('\n')[0]).toBe(`# yaml-language-server: $schema=${CONFIG_SCHEMA_ID}`)
  expect(accepts(parse(text))).toBe(true)
})

test('every example of docs/configuration.md keeps to the schema', () => {
  const page = readFileSync('docs/configuration.md', 'utf8')
  const examples = [...page.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, text = '']) => text)
  expect(examples.length).toBeGreaterThan(0)
  expect(examples.filter((text) => !accepts(parse(text)))).toEqual([])
})

test.each(SETTING_KEYS)('the schema takes the default of %s, a placeholder and nothing, but no section', (key) => {
  const setting: Setting<unknown> = SETTINGS[key]
  const good = [PLACEHOLDER, null, '', ...(setting.default === null ? [] : [setting.default, parse(setting.default)])]
  expect(good.filter((value) => !accepts(fileWith(key, value)))).toEqual([])
  expect(accepts(fileWith(key, { inner: 1 }))).toBe(false)
})

test.each<[string, unknown]>([
  ['agent.tenantId', 'x'],
  ['nonsense', {}],
  ['agent', 'x'],
  ['health.port', 65_536],
  ['health.port', -1],
  ['health.enabled', 'maybe'],
  ['sync.interval', 30],
  ['sync.interval', '30 seconds'],
  ['logging.level', 'loud'],
  ['attestation.unix.max_executable_size', '512MB'],
])('the schema refuses %s: %j', (key, value) => {
  expect(accepts(fileWith(key, value))).toBe(false)
})

test.each<[string, unknown]>([
  ['health.enabled', 'Yes'],
  ['logging.level', 'WARN'],
  ['icp_service.timeout', 30],
  ['icp_service.timeout', '1.5m'],
  ['attestation.unix.max_executable_size', '64 KiB'],
  ['attestation.kubernetes.authsec_namespaces', ['a', 'b']],
  ['attestation.kubernetes.authsec_namespaces', 'a,b'],
  ['agent.node_id', 7],
])('the schema takes %s: %j, as the agent does', (key, value) => {
  expect(accepts(fileWith(key, value))).toBe(true)
})

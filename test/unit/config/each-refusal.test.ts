import { describe, expect, test } from 'vitest'
import { SETTING_KEYS, type SettingKey } from '../../../agent/config/schema.js'
import { keysOf, load, refused, TENANT, warningsOf, withVariable } from './given.js'

/** Every text will do. */
const FREE: readonly SettingKey[] = ['icp_service.no_proxy', 'attestation.kubernetes.cluster_name']
/** No word, and nothing else that a setting could be: relative, too long, no number, no unit, no address, no key. */
const WRONG = `?? ${'x'.repeat(300)}\u0001/`

const tenant = `agent: {tenant_id: ${TENANT}}\n`

describe('each setting refuses what it cannot be, by its name', () => {
  test.each(SETTING_KEYS.filter((key) => !FREE.includes(key)))('%s', async (key) => {
    const variable = `ICP_AGENT_${key.toUpperCase().replaceAll('.', '__')}`
    const problems = await refused(withVariable(variable, WRONG))
    const [problem] = problems.filter((one) => one.key === key)
    expect(problem).toMatchObject({ key, source: variable })
    expect(problem?.problem.length).toBeGreaterThan(5)
    expect(problem?.remedy.length).toBeGreaterThan(5)
  })
})

describe('where records go', () => {
  test.each(['audit.log', './audit.log', '/var/log/', 'syslog'])('%s is refused', async (path) => {
    expect(keysOf(await refused(withVariable('ICP_AGENT_AUDIT__PATH', path)))).toEqual(['audit.path'])
  })
  test.each(['stdout', '/dev/log', '/var/log/audit.log'])('%s is taken', async (path) => {
    expect((await load(withVariable('ICP_AGENT_AUDIT__PATH', path))).config.audit.path).toBe(path)
  })
})

describe('the certificate of the health port', () => {
  test('of files needs both of them', async () => {
    const missing = await refused({ file: `${tenant}health: {tls: files}` })
    expect(missing.map(({ key, source }) => `${key} ${source}`)).toEqual([
      'health.tls_cert_path not set',
      'health.tls_key_path not set',
    ])
    const one = await refused({ file: `${tenant}health: {tls: files, tls_cert_path: /c.pem}` })
    expect(keysOf(one)).toEqual(['health.tls_key_path'])
    expect(
      (await load({ file: `${tenant}health: {tls: files, tls_cert_path: /c, tls_key_path: /k}` })).warnings,
    ).toEqual([])
  })

  test('files that are named and not used are a warning', async () => {
    const loaded = await load({ file: `${tenant}health: {tls_key_path: /k.pem}` })
    expect(warningsOf(loaded)).toEqual(['health.tls not set'])
  })
})

describe('a token for metrics in clear text', () => {
  const asked = async (health: string) =>
    warningsOf(await load({ file: `${tenant}metrics: {bearer_token_path: /token}\nhealth: {${health}}` }))
  test.each(['bind_address: 0.0.0.0', 'bind_address: "::"', 'bind_address: 10.0.0.1'])(
    'is a warning at %s',
    async (health) => expect(await asked(health)).toEqual(['metrics.bearer_token_path c.yaml:2']),
  )
  test.each(['bind_address: 127.0.0.2', 'bind_address: "::1"', 'bind_address: 0.0.0.0, tls: svid'])(
    'is none at %s',
    async (health) => expect(await asked(health)).toEqual([]),
  )
})

describe('the proxy of the configuration', () => {
  const at = (settings: string) => ({ file: `${tenant}icp_service: {${settings}}` })

  test('is refused where it cannot be used, without its password', async () => {
    const problems = await refused(at('proxy: "socks5://user:s3cret@h:1080"'))
    expect(keysOf(problems)).toEqual(['icp_service.proxy'])
    expect(JSON.stringify(problems)).not.toContain('s3cret')
  })

  test('may be none, whatever the environment says', async () => {
    const { config } = await load({ ...at('proxy: none'), env: { HTTPS_PROXY: 'http://proxy:3128' } })
    expect(config.icpService.proxy.httpsProxy).toBeNull()
  })

  test('has exemptions that exempt nobody: a warning at their line', async () => {
    const loaded = await load(at('proxy: http://proxy:3128, no_proxy: "*icp.test"'))
    expect(warningsOf(loaded)).toEqual(['icp_service.no_proxy c.yaml:2'])
  })
})

test('a path that ends with a slash names no file', async () => {
  const [problem] = await refused(withVariable('ICP_AGENT_LOGGING__FILE_PATH', '/var/log/'))
  expect(problem).toMatchObject({ key: 'logging.file_path', problem: 'is "/var/log/", which names no file' })
})

test('a list of one section is no list of strings', async () => {
  const [problem] = await refused({ file: `${tenant}attestation: {kubernetes: {authsec_namespaces: [{a: b}]}}` })
  expect(problem).toMatchObject({ problem: 'must be a list of strings' })
})

test('all variables that a value needs are named', async () => {
  const [problem] = await refused({ file: `${tenant}logging: {level: "\${A}\${B}"}` })
  expect(problem).toMatchObject({ problem: 'needs A and B, which are not set' })
})

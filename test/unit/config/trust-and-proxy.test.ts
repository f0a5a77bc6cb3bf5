import { generateKeyPairSync } from 'node:crypto'
import { inspect } from 'node:util'
import { X509CertificateGenerator } from '@peculiar/x509'
import { describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { keysOf, load, refused, TENANT, warningsOf, withVariable } from './given.js'

const PATH = '/etc/icp-agent/trust-bundle.pem'
const given = withVariable('ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH', PATH)
const SOURCE = 'icp_service.trust_bundle_path ICP_AGENT_ICP_SERVICE__TRUST_BUNDLE_PATH'

async function certificate(): Promise<string> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const made = await X509CertificateGenerator.createSelfSigned(
    { keys, signingAlgorithm: algorithm, name: 'CN=Test' },
    crypto,
  )
  return made.toString('pem')
}

describe('additional trust anchors', () => {
  test('a file with certificates, and comments around them, is taken', async () => {
    const pem = await certificate()
    const { config, warnings } = await load({ ...given, others: { [PATH]: `# ours\n${pem}\n\n# theirs\n${pem}\n` } })
    expect(config.icpService.trustBundlePath).toBe(PATH)
    expect(warnings).toEqual([])
  })

  test('a file that is missing is a warning: documented manifests name one that is not there', async () => {
    const loaded = await load(given)
    expect(warningsOf(loaded)).toEqual([SOURCE])
    expect(loaded.config.icpService.trustBundlePath).toBe(PATH)
  })

  test.each([
    ['nothing', ''],
    ['text', 'not a certificate'],
    [
      'a private key',
      generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    ],
    ['a broken certificate', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'],
  ])('a file with %s is a problem', async (_name, content) => {
    const problems = await refused({ ...given, others: { [PATH]: content } })
    expect(problems.map(({ key, source }) => `${key} ${source}`)).toEqual([SOURCE])
    expect(JSON.stringify(problems)).not.toContain('PRIVATE KEY')
  })

  test('one broken certificate among good ones is a problem', async () => {
    const pem = await certificate()
    const broken = pem.replace(/\n(.{30})/, '\nAAAA$1')
    expect(keysOf(await refused({ ...given, others: { [PATH]: pem + broken } }))).toHaveLength(1)
  })

  test('a file that cannot be read is a problem, together with all others', async () => {
    const { loadConfig } = await import('../../../agent/config/load.js')
    const loading = loadConfig({
      path: 'c.yaml',
      env: { ...given.env, ICP_AGENT_HEALTH__PORT: 'x' },
      hostname: 'h',
      insideContainer: false,
      files: { read: async (path) => (path === PATH ? Promise.reject(new AgentError('file.io', 'denied')) : null) },
    })
    await expect(loading).rejects.toMatchObject({
      details: { problems: [{ key: 'health.port' }, { key: 'icp_service.trust_bundle_path' }] },
    })
  })
})

describe('the proxy', () => {
  const proxy = async (env: Record<string, string>) =>
    (await load({ file: `agent: {tenant_id: ${TENANT}}`, env })).config.icpService.proxy

  test.each([
    [{}, null, null],
    [{ HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: 'a,b' }, 'http://proxy:3128', 'a,b'],
    [{ https_proxy: 'https://proxy:3128', no_proxy: '*' }, 'https://proxy:3128', '*'],
    [{ HTTPS_PROXY: 'http://upper', https_proxy: 'http://lower' }, 'http://upper', null],
    [{ HTTPS_PROXY: '', https_proxy: 'proxy.example:3128' }, 'http://proxy.example:3128', null],
    [{ HTTP_PROXY: 'http://plain', ALL_PROXY: 'http://all' }, null, null],
  ])('%j', async (env, httpsProxy, noProxy) => {
    const found = await proxy(env)
    expect(found.httpsProxy?.reveal() ?? null).toBe(httpsProxy)
    expect(found.noProxy).toBe(noProxy)
  })

  test('is not shown by whatever prints the configuration: it may hold a password', async () => {
    const { config } = await load({
      file: `agent: {tenant_id: ${TENANT}}`,
      env: { HTTPS_PROXY: 'http://user:s3cret@proxy:3128' },
    })
    expect(config.icpService.proxy.httpsProxy?.reveal()).toContain('s3cret')
    expect(`${JSON.stringify(config)}${inspect(config, { depth: null })}`).not.toContain('s3cret')
  })

  test('entries of NO_PROXY that exempt nobody are a warning, where there is a proxy', async () => {
    const file = `agent: {tenant_id: ${TENANT}}`
    const env = { HTTPS_PROXY: 'http://proxy:3128', NO_PROXY: '10.0.0.0/8, https://icp.test, *icp.test' }
    const { warnings } = await load({ file, env })
    expect(warnings).toMatchObject([
      { source: 'NO_PROXY', problem: expect.stringContaining('https://icp.test, *icp.test') },
    ])
    expect((await load({ file, env: { NO_PROXY: '*icp.test' } })).warnings).toEqual([])
  })

  test('one that cannot be used is a problem, and its password is not shown', async () => {
    for (const value of ['socks5://user:s3cret@h:1080', 'http://user:s3cret@:x', 'http://user:s3cret%@h']) {
      const problems = await refused({ file: `agent: {tenant_id: ${TENANT}}`, env: { HTTPS_PROXY: value } })
      expect(problems).toMatchObject([{ source: 'HTTPS_PROXY' }])
      expect(JSON.stringify(problems)).not.toContain('s3cret')
    }
  })
})

import { inspect } from 'node:util'
import { describe, expect, test } from 'vitest'
import { KEY, keysOf, load, refused, TENANT, warningsOf, withVariable } from './given.js'

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: placeholders are what is tested
describe('secrets', () => {
  test('they print as nothing, and the variables that they came from are named', async () => {
    const { config, secretVariables } = await load({
      file: 'agent: {join_token: "${OLD_TOKEN:-}${JT}"}\nsecurity:\n  cache_encryption_key: "${CACHE_KEY}"\n',
      env: {
        ICP_AGENT_AGENT__TENANT_ID: TENANT,
        icp_agent_agent__join_token: 's3cret',
        JT: 's3cret-too',
        CACHE_KEY: KEY,
      },
    })
    expect(config.agent.joinToken?.reveal()).toBe('s3cret')
    expect(config.security.cacheEncryptionKey?.reveal()).toEqual(new Uint8Array(Buffer.from(KEY, 'base64')))
    expect(inspect(config, { depth: 9 }) + JSON.stringify(config)).not.toMatch(/s3cret|AAECAw/)
    expect([...secretVariables].sort()).toEqual(['CACHE_KEY', 'JT', 'OLD_TOKEN', 'icp_agent_agent__join_token'])
  })

  test('a token and a file with a token exclude each other', async () => {
    const env = {
      ICP_AGENT_AGENT__TENANT_ID: TENANT,
      ICP_AGENT_AGENT__JOIN_TOKEN: 't',
      ICP_AGENT_AGENT__JOIN_TOKEN_PATH: '/t',
    }
    expect(keysOf(await refused({ file: '', env }))).toEqual(['agent.join_token'])
  })

  test.each<[string, string, Record<string, string>, string[]]>([
    ['a variable', '', { ICP_AGENT_AGENT__JOIN_TOKEN: 't' }, ['agent.join_token ICP_AGENT_AGENT__JOIN_TOKEN']],
    ['a placeholder', 'agent: {join_token: "${JT}"}', { JT: 't' }, ['agent.join_token JT']],
    ['an empty variable', '', { ICP_AGENT_AGENT__JOIN_TOKEN: '' }, []],
    ['the file', 'agent: {join_token: t}', {}, []],
    ['a file of its own', 'agent: {join_token_path: /t}', {}, []],
  ])('a token from %s is warned of where it stays in the environment', async (_where, file, env, warnings) => {
    const loaded = await load({ file, env: { ICP_AGENT_AGENT__TENANT_ID: TENANT, ...env } })
    expect(warningsOf(loaded)).toEqual(warnings)
  })

  test('attestation by join token needs one', async () => {
    expect(keysOf(await refused(withVariable('ICP_AGENT_ATTESTATION__TYPE', 'join_token')))).toEqual([
      'attestation.type',
    ])
  })

  test.each([
    ['empty base64', '===='],
    ['31 bytes', Buffer.alloc(31, 'ab').toString('base64')],
    ['33 bytes', Buffer.alloc(33, 'ab').toString('base64')],
    ['64 hex digits', 'ab'.repeat(32)],
    ['nothing but zeros', Buffer.alloc(32).toString('base64')],
    ['not base64', 'not base64!'],
  ])('a cache key that is %s is refused', async (_name, value) => {
    expect(keysOf(await refused(withVariable('ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY', value)))).toEqual([
      'security.cache_encryption_key',
    ])
  })
})
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: placeholders are what is tested

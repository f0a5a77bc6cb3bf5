import { expect, test } from 'vitest'
import { loadConfig } from '../../../agent/config/load.js'
import { AgentError } from '../../../agent/errors.js'
import { collect } from '../../../agent/main/support/collect.js'
import { PARTS } from '../../../agent/main/support/parts.js'
import { Redaction } from '../../../agent/main/support/redaction.js'
import { tarOf } from '../../../agent/main/support/tar.js'
import { Disk } from '../../../agent/platform/disk.js'

const TENANT = '11111111-2222-4333-8444-555555555555'
const KEY = Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7))
const env = {
  ICP_AGENT_AGENT__TENANT_ID: TENANT,
  ICP_AGENT_AGENT__JOIN_TOKEN: 'join"token-1',
  ICP_AGENT_SECURITY__CACHE_ENCRYPTION_KEY: KEY.toString('base64'),
  ICP_AGENT_ICP_SERVICE__ADDRESS: 'https://icp.invalid',
  ICP_AGENT_ICP_SERVICE__PROXY: 'http://user:pa%2Fss@proxy.invalid:3128',
}

const settings = async () =>
  (
    await loadConfig({
      path: '/nowhere/config.yaml',
      env,
      hostname: 'n',
      insideContainer: false,
      files: new Disk(),
    })
  ).settings

const values = async () => Object.values(await settings()).map(({ value }) => value)

test('secrets of the configuration are masked in each form, and what looks like a secret, too', async () => {
  const redaction = new Redaction(await values())
  const jwt = `eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.${'a'.repeat(43)}`
  const texts = [
    'join"token-1',
    JSON.stringify({ token: 'join"token-1' }),
    encodeURIComponent('join"token-1'),
    KEY.toString('base64'),
    KEY.toString('hex'),
    'http://user:pa%2Fss@proxy.invalid:3128',
    'pa/ss',
    jwt,
    '-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----',
    'Bearer abc.def',
  ]
  for (const text of texts) {
    const shown = redaction.apply(`before ${text} after`)
    expect(shown).toMatch(/^before .*\[redacted\].* after$/)
    expect(shown).not.toMatch(/token-1|pa(?:\/|%2F)ss|AAcOFR|00070e|eyJ|abc/)
  }
  expect(redaction.apply('spiffe://example.org/web')).toBe('spiffe://example.org/web')
})

test('a part that cannot be read stops no other', async () => {
  const fails = async () => {
    throw new AgentError('admin.unreachable', 'nobody is there')
  }
  const clock = { now: () => 0, after: () => ({ [Symbol.dispose]: () => undefined }) }
  const never = new AbortController().signal
  const { files, missing } = await collect({ settings, values, client: fails, clock, signal: never }, never)
  expect(files.map(({ name }) => name)).toEqual(['versions.json', 'machine.json', 'config.json'])
  expect(missing.map(({ name }) => name)).toEqual(PARTS.slice(3).map(({ name }) => name))
  expect(missing[0]?.reason).toBe('nobody is there [admin.unreachable]')
})

test('a tar has whole blocks, with the right sums and an end', () => {
  const content = Buffer.alloc(700, 'x')
  const tar = tarOf(
    [
      { name: 'a', content },
      { name: 'b', content: Buffer.alloc(0) },
    ],
    1_000,
  )
  expect(tar.length).toBe(512 + 1_024 + 512 + 1_024)
  const header = Buffer.from(tar.subarray(0, 512))
  const sum = Number.parseInt(header.subarray(148, 154).toString(), 8)
  header.fill(' ', 148, 156)
  expect(header.reduce((all, byte) => all + byte, 0)).toBe(sum)
  expect(Number.parseInt(header.subarray(124, 135).toString(), 8)).toBe(700)
  expect(tar.subarray(-1_024).every((byte) => byte === 0)).toBe(true)
  expect(() => tarOf([{ name: 'ä', content }], 0)).toThrow(TypeError)
})

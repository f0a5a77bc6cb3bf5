import { expect, test } from 'vitest'
import { z } from 'zod'
import { pkcs8Pem } from '../../../agent/crypto/keys.js'
import { TestCa } from '../../fakes/ca.js'
import { rsaKey } from '../../fakes/keys.js'
import { attested, ChangingCa } from './changing-ca.js'
import { IDENTITY_FILE, never } from './world.js'

/** What versions before there were two certificates demanded of the file; they kept nothing else when they wrote. */
const certificate = {
  agent_id: z.string().min(1),
  spiffe_id: z.string(),
  workspace: z.boolean(),
  received_at: z.number(),
  chain: z.array(z.string()).min(1),
  authorities: z.array(z.string()),
}
const OLDER = z.object({
  version: z.literal(1),
  tenant_id: z.string(),
  node_id: z.string(),
  identity: z
    .object({
      ...certificate,
      spread: z.number().min(0).max(1),
      join_token_sha256: z.string().nullable(),
      key: z.string(),
    })
    .nullable(),
  pending: z
    .object({
      key: z.string(),
      since: z.number(),
      join_token: z.object({ sha256: z.string(), at: z.number() }).nullable(),
      answer: z.object(certificate).nullable(),
    })
    .nullable(),
})

/** A disk in the middle of a change of the CA: two certificates, the older one is accepted. */
async function twoOnDisk() {
  const ca = await ChangingCa.create()
  const keeper = await attested(ca)
  await ca.rotate()
  await ca.world.clock.advance('2m')
  await keeper.attempt(never())
  const content = () => ca.world.files.content.get(IDENTITY_FILE)?.toString() ?? ''
  const put = (record: object) => ca.world.files.content.set(IDENTITY_FILE, Buffer.from(JSON.stringify(record)))
  return { ca, keeper, content, put, record: JSON.parse(content()) as Record<string, unknown> }
}

test('an older version reads the newest certificate, with its key', async () => {
  const { keeper, record } = await twoOnDisk()
  expect(record['older_identity']).not.toBeNull()
  const older = OLDER.parse(record)
  const newest = keeper.certificates.current()
  expect(older.identity?.key).toBe(newest && pkcs8Pem(newest.key.reveal()))
  expect(older.identity?.received_at).toBe(newest?.receivedAt)
})

test('what an older version has written is read as before', async () => {
  const { ca, keeper, put, record } = await twoOnDisk()
  put(OLDER.parse(record))
  const restarted = await ca.start()
  expect(restarted.current()?.serial).toBe(keeper.current()?.serial)
  expect([restarted.certificates.names(), restarted.state().kind]).toEqual([[keeper.current()?.serial], 'valid'])
  expect(ca.world.sinks.events('warn')).toEqual([])
})

const OTHER_KEY = pkcs8Pem(await rsaKey(3))
const OTHER_CA = (await TestCa.create('Another CA', { notBefore: 0, notAfter: Date.parse('2099-01-01') })).pem

test.each<[string, (older: Record<string, unknown>) => unknown]>([
  ['is no object', () => 'x'],
  ['has no key', (older) => ({ ...older, key: '' })],
  ['has the key of another', (older) => ({ ...older, key: OTHER_KEY })],
  ['is of another issuer', (older) => ({ ...older, authorities: [OTHER_CA] })],
  ['is of another agent id', (older) => ({ ...older, agent_id: 'another' })],
  ['has a certificate that is none', (older) => ({ ...older, chain: ['x'] })],
])('an older certificate that %s costs the identity in force nothing', async (_what, spoil) => {
  const { ca, keeper, put, record } = await twoOnDisk()
  put({ ...record, older_identity: spoil(record['older_identity'] as Record<string, unknown>) })
  const restarted = await ca.start()
  expect(restarted.certificates.names()).toEqual([keeper.current()?.serial])
  expect(ca.world.sinks.events('warn')).toEqual([])
})

test('what is known of the server and cannot be read is as good as unknown', async () => {
  const { ca, put, record } = await twoOnDisk()
  put({ ...record, reception: { inactive: 'yes' } })
  const restarted = await ca.start()
  expect([restarted.certificates.names().length, restarted.state().kind]).toEqual([2, 'valid'])
})

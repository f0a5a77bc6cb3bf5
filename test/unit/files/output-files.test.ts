import { createPrivateKey, X509Certificate } from 'node:crypto'
import { beforeAll, expect, test } from 'vitest'
import { spiffeMessages } from '../../../agent/client/spiffe-messages.js'
import { verifyX509Context, type X509Context } from '../../../agent/client/x509-context.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { DEFAULT_PLAN, type FilePlan } from '../../../agent/files/file-plan.js'
import { FileComposer, type Received } from '../../../agent/files/output-files.js'
import { pickIdentity } from '../../../agent/files/pick-identity.js'
import type { OutputFile } from '../../../agent/ports/generations.js'
import type { TestCa } from '../../fakes/ca.js'
import { BEGIN, rootCa, type SentBundles, sentSvid, x509SvidMessage } from '../../fakes/workload-messages.js'

const WEB = 'spiffe://one.example/web'
let ca: TestCa
let other: TestCa
beforeAll(async () => {
  ca = await rootCa()
  other = await rootCa('other')
})

async function context(federated: SentBundles = {}): Promise<X509Context> {
  const svids = await Promise.all([sentSvid(ca, WEB), sentSvid(ca, 'spiffe://one.example/api', { hint: 'internal' })])
  return verifyX509Context(() => spiffeMessages.x509Svids(x509SvidMessage('spiffe', svids, federated)), BEGIN)
}
function received({ svids: [held], federated }: X509Context, more: Partial<Received> = {}): Received {
  return { x509: { held, federated }, tokens: new Map(), jwks: null, trustDomain: 'one.example', ...more }
}
const compose = (plan: Partial<FilePlan>, of: Received) => new FileComposer({ ...DEFAULT_PLAN, ...plan }).files(of)
const text = (files: readonly OutputFile[], name: string) =>
  Buffer.from(files.find((file) => file.name === name)?.content ?? []).toString('utf8')
const certificates = (pem: string) => pem.split(/(?=-----BEGIN)/).filter((part) => part.includes('CERTIFICATE'))

test('certificate, key, bundle and the combined file fit together, and the key comes last', async () => {
  const files = await compose({}, received(await context({ 'spiffe://two.example': [other.der] })))
  expect(files.map(({ name, mode }) => [name, mode])).toEqual([
    ['svid_bundle.pem', 0o644],
    ['federated.two.example.pem', 0o644],
    ['combined.pem', 0o600],
    ['svid.pem', 0o644],
    ['svid_key.pem', 0o600],
  ])
  const leaf = new X509Certificate(text(files, 'svid.pem'))
  expect(leaf.checkPrivateKey(createPrivateKey(text(files, 'svid_key.pem')))).toBe(true)
  expect(leaf.verify(new X509Certificate(text(files, 'svid_bundle.pem')).publicKey)).toBe(true)
  expect(text(files, 'combined.pem')).toBe(text(files, 'svid.pem') + text(files, 'svid_key.pem'))
  expect(certificates(text(files, 'federated.two.example.pem'))).toHaveLength(1)
})

test('authorities of other trust domains are merged into the bundle only where that is wanted', async () => {
  const of = received(await context({ 'spiffe://two.example': [other.der] }))
  expect(certificates(text(await compose({ federated: 'merged' }, of), 'svid_bundle.pem'))).toHaveLength(2)
  const none = await compose({ federated: 'none' }, of)
  expect(certificates(text(none, 'svid_bundle.pem'))).toHaveLength(1)
  expect(none.map(({ name }) => name)).not.toContain('federated.two.example.pem')
})

test('the own trust domain has no second file among the others', async () => {
  const [held] = (await context()).svids
  const of = received({ svids: [held], federated: new Map([['one.example', held.bundle]]) })
  expect((await compose({ federated: 'files' }, of)).map(({ name }) => name)).not.toContain('federated.one.example.pem')
})

test('JWKS are those of each trust domain, or one object as spiffe-helper writes it', async () => {
  const jwks = new Map([
    ['one.example', '{"keys":[1]}'],
    ['two.example', '{"keys":[2]}'],
  ])
  const of = received(await context(), { jwks })
  const own = await compose({ jwks: 'jwks.json' }, of)
  expect([text(own, 'jwks.json'), text(own, 'federated.two.example.jwks.json')]).toEqual([...jwks.values()])
  const one = JSON.parse(text(await compose({ jwks: 'all.json', jwksForm: 'base64' }, of), 'all.json'))
  expect(Buffer.from(one['two.example'], 'base64').toString()).toBe('{"keys":[2]}')
})

test('PKCS#12 stores are made anew only when what is in them changes, though their salts are fresh', async () => {
  const plan = { ...DEFAULT_PLAN, keystore: 'k.p12', truststore: 't.p12', password: new Secret('secret') }
  const composer = new FileComposer(plan)
  const of = received(await context())
  const first = await composer.files(of)
  expect(await composer.files(of)).toEqual(first)
  expect(text(await composer.files(received(await context())), 'k.p12')).not.toBe(text(first, 'k.p12'))
})

test('PKCS#12 stores follow the authorities, also while the SVID stays', async () => {
  const plan = { ...DEFAULT_PLAN, truststore: 't.p12', password: new Secret('secret'), federated: 'merged' as const }
  const composer = new FileComposer(plan)
  const { svids } = await context()
  const { federated } = await context({ 'spiffe://two.example': [other.der] })
  const first = await composer.files(received({ svids, federated: new Map() }))
  const next = await composer.files(received({ svids, federated }))
  expect(text(next, 't.p12').length).toBeGreaterThan(text(first, 't.p12').length)
})

test('an identity is found by its SPIFFE ID, by its hint, by both, and nothing else is taken for it', async () => {
  const { svids } = await context()
  const picked = (spiffeId: string | null, hint: string | null) =>
    pickIdentity(svids, ({ svid }) => svid.spiffeId, { spiffeId, hint })?.svid.spiffeId.path ?? null
  expect(picked(null, null)).toBe('/web')
  expect(picked(null, 'internal')).toBe('/api')
  expect(picked('spiffe://one.example/api', null)).toBe('/api')
  expect(picked(WEB, 'internal')).toBeNull()
  expect(picked(null, 'external')).toBeNull()
})

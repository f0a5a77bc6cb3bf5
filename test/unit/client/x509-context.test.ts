import { beforeAll, describe, expect, test } from 'vitest'
import { authsecMessages } from '../../../agent/client/authsec-messages.js'
import type { ClientDialect } from '../../../agent/client/dialect.js'
import { spiffeMessages } from '../../../agent/client/spiffe-messages.js'
import { verifyX509Bundles, verifyX509Context } from '../../../agent/client/x509-context.js'
import type { TestCa } from '../../fakes/ca.js'
import {
  BEGIN,
  ecKey,
  HOUR,
  rootCa,
  type SentBundles,
  type SentSvid,
  sentSvid,
  x509BundlesMessage,
  x509SvidMessage,
} from '../../fakes/workload-messages.js'

const A = 'spiffe://one.example/a'
const B = 'spiffe://one.example/b'
let ca: TestCa
let other: TestCa
let a: SentSvid

beforeAll(async () => {
  ca = await rootCa()
  other = await rootCa('other')
  a = await sentSvid(ca, A)
})

const bad = (reason: string) =>
  expect.objectContaining({ code: 'client.bad_response', details: expect.objectContaining({ reason }) })

for (const dialect of [spiffeMessages, authsecMessages] satisfies ClientDialect[]) {
  const foreign = dialect.name === 'spiffe' ? 'spiffe://two.example' : 'two.example'
  const receive = (svids: readonly SentSvid[], federated: SentBundles = {}, now = BEGIN + 1000) =>
    verifyX509Context(() => dialect.x509Svids(x509SvidMessage(dialect.name, svids, federated)), now)

  describe(`the ${dialect.name} dialect`, () => {
    test('an SVID that is what it should be is taken', () => {
      const { svids, federated } = receive([a], { [foreign]: [other.der] })
      expect(svids).toHaveLength(1)
      const [{ svid, bundle }] = svids
      expect(svid.spiffeId.uri).toBe(A)
      expect(svid.notAfter).toBe(BEGIN + HOUR)
      expect(svid.chain.map((der) => Buffer.from(der))).toEqual(a.chain.map((der) => Buffer.from(der)))
      expect(Buffer.from(svid.privateKey.reveal())).toEqual(a.key.export({ type: 'pkcs8', format: 'der' }))
      expect(bundle.trustDomain).toBe('one.example')
      expect([...federated.keys()]).toEqual(['two.example'])
    })

    test('an intermediate stays in the chain, leaf first', async () => {
      const { TestCa } = await import('../../fakes/ca.js')
      const below = await TestCa.create('below', { notBefore: BEGIN - HOUR, notAfter: BEGIN + HOUR }, ca)
      const svid = await sentSvid(below, A)
      const [{ svid: received }] = receive([{ ...svid, chain: [...svid.chain, below.der], bundle: [ca.der] }]).svids
      expect(received.chain).toHaveLength(2)
    })

    test('the order of the identities is kept: the first is the default', async () => {
      const b = await sentSvid(ca, B)
      expect(receive([b, a]).svids.map(({ svid }) => svid.spiffeId.uri)).toEqual([B, A])
    })

    test('no SVID at all is refused', () => expect(() => receive([])).toThrow(bad('svid.invalid')))

    test('a key of another certificate is refused', () =>
      expect(() => receive([{ ...a, key: ecKey() }])).toThrow(bad('svid.invalid')))

    test('a name beside the certificate that differs from the one in it is refused', () =>
      expect(() => receive([{ ...a, spiffeId: B }])).toThrow(bad('svid.invalid')))

    test('an issuer that the bundle does not have is refused', () =>
      expect(() => receive([{ ...a, bundle: [other.der] }])).toThrow(bad('svid.issuer_unknown')))

    test('an empty bundle is refused, even if a federated one would fit', () =>
      expect(() => receive([{ ...a, bundle: [] }], { [foreign]: [ca.der] })).toThrow(bad('svid.issuer_unknown')))

    test('an expired certificate is refused', () =>
      expect(() => receive([a], {}, BEGIN + HOUR)).toThrow(bad('svid.invalid')))

    test('one bad SVID spoils the message: half of it is never used', async () => {
      const b = await sentSvid(ca, B)
      expect(() => receive([a, { ...b, key: ecKey() }])).toThrow(bad('svid.invalid'))
    })

    test('a malformed SPIFFE ID is refused', () =>
      expect(() => receive([{ ...a, spiffeId: 'spiffe://One.example/a' }])).toThrow(bad('spiffe_id.invalid')))

    test('a leaf in the place of an authority is refused', () =>
      expect(() => receive([{ ...a, bundle: a.chain }])).toThrow(bad('svid.invalid')))

    test('bytes that are no message are refused', () =>
      expect(() => verifyX509Context(() => dialect.x509Svids(Buffer.from('garbage')), BEGIN)).toThrow(bad('malformed')))

    test('bundles come by trust domain', () => {
      const message = x509BundlesMessage(dialect.name, { [foreign]: [ca.der, other.der] })
      const bundles = verifyX509Bundles(() => dialect.x509Bundles(message))
      expect(bundles.get('two.example')?.authorities).toHaveLength(2)
    })

    test('no bundle at all is refused', () => {
      const message = x509BundlesMessage(dialect.name, {})
      expect(() => verifyX509Bundles(() => dialect.x509Bundles(message))).toThrow(bad('svid.invalid'))
    })
  })
}

test('the key of a federated bundle must be the SPIFFE ID of a trust domain', () => {
  for (const key of ['two.example', 'spiffe://two.example/path', 'https://two.example']) {
    const message = x509SvidMessage('spiffe', [a], { [key]: [other.der] })
    expect(() => verifyX509Context(() => spiffeMessages.x509Svids(message), BEGIN)).toThrow(bad('spiffe_id.invalid'))
  }
})

test('of two SVIDs with one hint the first counts', async () => {
  const [one, two, free] = await Promise.all([
    sentSvid(ca, A, { hint: 'db' }),
    sentSvid(ca, B, { hint: 'db' }),
    sentSvid(ca, 'spiffe://one.example/c'),
  ])
  const message = x509SvidMessage('spiffe', [one, two, free])
  const { svids } = verifyX509Context(() => spiffeMessages.x509Svids(message), BEGIN)
  expect(svids.map(({ svid, hint }) => [svid.spiffeId.path, hint])).toEqual([
    ['/a', 'db'],
    ['/c', ''],
  ])
})

test('PEM where the standard wants DER is refused', () => {
  const message = x509SvidMessage('authsec', [a])
  expect(() => verifyX509Context(() => spiffeMessages.x509Svids(message), BEGIN)).toThrow(bad('svid.invalid'))
})

import { createPublicKey, generateKeyPairSync, type KeyObject, X509Certificate } from 'node:crypto'
import { BasicConstraintsExtension, Extension, KeyUsageFlags } from '@peculiar/x509'
import fc from 'fast-check'
import { beforeAll, describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../agent/crypto/certificate.js'
import { CLIENT_AUTH, SERVER_AUTH } from '../../../agent/crypto/extensions.js'
import { weakAlgorithm } from '../../../agent/crypto/signature-algorithm.js'
import { AgentError, codeOf } from '../../../agent/errors.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { rsaKey } from '../../fakes/keys.js'
import { detailsOf } from '../../support/details.js'

const NOW = Date.parse('2026-03-04T05:06:07Z')
const TIMES = { notBefore: NOW, notAfter: NOW + 3_600_000 }
const URI = { type: 'url' as const, value: 'spiffe://example.org/web' }

let ca: TestCa
let key: KeyObject
beforeAll(async () => {
  ca = await TestCa.create('Root', TIMES)
  key = createPublicKey(await rsaKey())
})
const issue = (wish: Partial<Wish> = {}, publicKey = key) => ca.issue(publicKey, { names: [URI], ...TIMES, ...wish })
const refused = (der: Uint8Array) => {
  try {
    parseCertificate(der)
  } catch (error) {
    return error instanceof AgentError ? `${error.code} ${detailsOf(error)['check']}` : error
  }
  return 'accepted'
}

describe('a parsed certificate', () => {
  it('says what stands in it', async () => {
    const der = await issue({
      serial: '00a1b2c3',
      names: [
        URI,
        { type: 'dns', value: 'localhost' },
        { type: 'email', value: 'svid@localhost' },
        { type: 'ip', value: '10.0.0.1' },
      ],
    })
    const certificate = parseCertificate(der)
    const openssl = new X509Certificate(der)
    expect(certificate).toMatchObject({
      serial: 'a1:b2:c3',
      ...TIMES,
      hasBasicConstraints: false,
      isCa: false,
      pathLength: null,
      keyUsage: new Set(['digitalSignature', 'keyEncipherment', 'keyAgreement']),
      keyUsageCritical: true,
      extendedKeyUsage: [SERVER_AUTH, CLIENT_AUTH],
      subjectEmpty: true,
      sanCritical: true,
      unhandledCritical: [],
    })
    expect(certificate.names).toMatchObject({
      uris: [URI.value],
      dns: ['localhost'],
      emails: ['svid@localhost'],
      others: 0,
    })
    expect(certificate.names.ips.map((ip) => [...ip])).toEqual([[10, 0, 0, 1]])
    expect(certificate.fingerprint).toBe(openssl.fingerprint256.replaceAll(':', '').toLowerCase())
    expect(certificate.publicKey.equals(key)).toBe(true)
    expect(certificate.issuer).toBe(parseCertificate(ca.der).subject)
  })

  it('of an authority says so, with its path length', async () => {
    const limited = await TestCa.create('Root', { ...TIMES, ca: { pathLength: 0 } })
    expect(parseCertificate(limited.der)).toMatchObject({ isCa: true, pathLength: 0, extendedKeyUsage: null })
    expect(parseCertificate(ca.der)).toMatchObject({ isCa: true, pathLength: null })
  })

  it('says whether BasicConstraints are there, also where they say that it is none', async () => {
    const bare = parseCertificate(await issue())
    expect(bare).toMatchObject({ hasBasicConstraints: false, isCa: false })
    const cured = parseCertificate(await issue({ extra: [new BasicConstraintsExtension(false, undefined, true)] }))
    expect(cured).toMatchObject({ hasBasicConstraints: true, isCa: false })
  })

  it('knows who signed it', async () => {
    const certificate = parseCertificate(await issue())
    const other = await TestCa.create('Root', TIMES)
    expect(certificate.verifySignedBy(parseCertificate(ca.der))).toBe(true)
    expect(certificate.verifySignedBy(parseCertificate(other.der))).toBe(false)
    // A key of another kind is not the signer's either.
    expect(certificate.verifySignedBy({ publicKey: key })).toBe(false)
  })

  it('keeps one name one name, whatever is in it', async () => {
    const tricky = 'spiffe://example.org/a, URI:spiffe://example.org/b'
    expect(parseCertificate(await issue({ names: [{ type: 'url', value: tricky }] })).names.uris).toEqual([tricky])
  })

  it('names critical extensions that nobody processes, and lets others pass', async () => {
    const extra = [
      new Extension('1.2.3.4', true, new Uint8Array([5, 0])),
      new Extension('1.2.3.5', false, new Uint8Array([5, 0])),
    ]
    expect(parseCertificate(await issue({ extra })).unhandledCritical).toEqual(['1.2.3.4'])
  })

  it('reads key usages of two octets', async () => {
    const keyUsage = KeyUsageFlags.digitalSignature | KeyUsageFlags.decipherOnly
    expect(parseCertificate(await issue({ keyUsage })).keyUsage).toEqual(new Set(['digitalSignature', 'decipherOnly']))
  })

  it('reads years on both sides of 2050', async () => {
    const notAfter = Date.parse('2051-01-01T00:00:00Z')
    expect(parseCertificate(await issue({ notAfter })).notAfter).toBe(notAfter)
  })
})

describe('a certificate is refused', () => {
  it('with an extension twice', async () => {
    const san = new Extension('2.5.29.17', false, Buffer.from('3003820161', 'hex'))
    expect(refused(await issue({ extra: [san] }))).toBe('svid.invalid encoding')
  })

  it.each([
    ['a NUL in a name', '30058203610062'],
    ['a line feed in a name', '30058603610a62'],
    ['an empty list of names', '3000'],
    ['an address of 5 octets', '300787050102030405'],
    ['bytes after the names', '30038201610500'],
    ['a name of unknown form', '30038b0161'],
  ])('with %s', async (_name, san) => {
    const extra = [new Extension('2.5.29.17', false, Buffer.from(san, 'hex'))]
    expect(refused(await issue({ names: [], extra }))).toBe('svid.invalid encoding')
  })

  it('with a weak key', async () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey
    expect(refused(await issue({}, weak))).toBe('svid.invalid key_strength')
  })

  it('with two different signature algorithms', async () => {
    const der = Buffer.from(await issue())
    const at = der.lastIndexOf(Buffer.from('2a8648ce3d040302', 'hex'))
    der[at + 7] = 0x03
    expect(refused(der)).toBe('svid.invalid encoding')
  })

  it('with bytes behind it, cut off, empty, or beyond 64 KiB', async () => {
    const der = Buffer.from(await issue())
    expect(refused(Buffer.concat([der, Buffer.of(0)]))).toBe('svid.invalid encoding')
    expect(refused(der.subarray(0, -1))).toBe('svid.invalid encoding')
    expect(refused(new Uint8Array())).toBe('svid.invalid encoding')
    expect(refused(new Uint8Array(65_537))).toBe('svid.invalid encoding')
  })

  it('or read without harm, whatever bytes are changed in it', async () => {
    const der = Buffer.from(await issue({ subject: 'web' }))
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(der.length - 1), fc.nat(255)), { minLength: 1, maxLength: 4 }),
        (changes) => {
          const changed = Buffer.from(der)
          for (const [at, octet] of changes) changed[at] = octet
          try {
            const certificate = parseCertificate(changed)
            const openssl = new X509Certificate(changed)
            expect(certificate.notAfter).toBe(Date.parse(openssl.validTo))
            expect(certificate.serial.replaceAll(':', '')).toBe(openssl.serialNumber.toLowerCase())
            expect(certificate.isCa).toBe(openssl.ca)
          } catch (error) {
            expect(codeOf(error)).toBe('svid.invalid')
          }
        },
      ),
      { seed: 1, numRuns: 2000 },
    )
  })
})

describe('a signature algorithm', () => {
  const pss = (hash?: string) => {
    const params = hash === undefined ? '3000' : `300fa00d300b0609${hash}`
    return `06092a864886f70d01010a${params}`
  }
  const name = (content: string) =>
    weakAlgorithm({ tag: 0x30, content: Buffer.from(content, 'hex'), raw: Buffer.alloc(0) })

  it.each([
    ['06092a864886f70d01010b0500'], // sha256WithRSAEncryption
    ['06082a8648ce3d040304'], // ecdsa-with-SHA512
    ['06032b6570'], // Ed25519
    [pss('608648016503040201')],
  ])('%s is strong', (content) => {
    expect(name(content)).toBeNull()
  })

  it.each([
    ['06092a864886f70d0101050500', 'sha1WithRSAEncryption'],
    ['06092a864886f70d0101040500', 'md5WithRSAEncryption'],
    ['06072a8648ce3d0401', 'ecdsa-with-SHA1'],
    ['06082a8648ce3d040301', 'ecdsa-with-SHA224'],
    ['06072a8648ce380403', 'dsa-with-SHA1'],
    ['060960864801650304 0312'.replace(' ', ''), 'ML-DSA-65'],
    [pss(), 'RSASSA-PSS with SHA-1'],
    ['06022a03', 'an unknown algorithm (1.2.3)'],
  ])('%s is weak or unknown, and is named: %s', (content, expected) => {
    expect(name(content)).toBe(expected)
  })
})

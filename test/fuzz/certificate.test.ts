import { createPublicKey, X509Certificate } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCertificate } from '../../agent/crypto/certificate.js'
import { DerReader, oidOf, TAG, timeOf } from '../../agent/crypto/der.js'
import { extensionsOf } from '../../agent/crypto/extensions.js'
import { parseAuthority } from '../../agent/identity/authority.js'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { verifyX509Svid } from '../../agent/identity/verify-svid.js'
import { TestCa } from '../fakes/ca.js'
import { der } from '../fakes/der.js'
import { ecKey } from '../fakes/workload-messages.js'
import { AUTHORITY, LEAF, RSA_LEAF } from './certificates.js'
import { accepted, always } from './fuzz.js'
import { mutated, mutations } from './mutations.js'
import { reencoded, reencodings } from './reencoded.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const TIMES = { notBefore: NOW - 3_600_000, notAfter: NOW + 3_600_000 }
const ID = 'spiffe://td.example/web'
const REFUSED = ['svid.invalid', 'svid.issuer_unknown']
const key = ecKey()

const authority = parseCertificate(AUTHORITY)
const originals = [AUTHORITY, LEAF, RSA_LEAF]

const torn = fc
  .tuple(fc.constantFrom(...originals), mutations)
  .map(([original, changes]) => ({ original, bytes: mutated(original, changes) }))
const rebuilt = fc
  .tuple(fc.constantFrom(...originals), reencodings)
  .map(([original, how]) => ({ original, bytes: reencoded(original, how) ?? Buffer.from(original) }))
const changed = fc.oneof(torn, rebuilt)

describe('a real certificate that was changed', () => {
  test('is refused, or says what OpenSSL reads in it', () => {
    let read = 0
    always(6_000, changed, ({ bytes }) => {
      const parsed = accepted(REFUSED, () => parseCertificate(bytes))
      if (!parsed) return
      read++
      const oracle = new X509Certificate(bytes)
      expect(bytes.equals(oracle.raw)).toBe(true)
      expect(BigInt(`0x${parsed.serial.replaceAll(':', '')}`)).toBe(BigInt(`0x${oracle.serialNumber}`))
      expect(parsed.notBefore).toBe(Date.parse(oracle.validFrom))
      expect(parsed.notAfter).toBe(Date.parse(oracle.validTo))
      // OpenSSL also looks at usages and at extensions that we do not read: what it calls a CA is never a leaf here.
      if (oracle.ca) expect(parsed.isCa).toBe(true)
      expect(parsed.publicKey.equals(oracle.publicKey)).toBe(true)
      expect(urisOf(oracle)).toEqual(parsed.names.uris)
    })
    expect(read).toBeGreaterThan(100)
  })

  test('to say the same in a form that DER forbids is refused', () => {
    let tried = 0
    always(3_000, fc.tuple(fc.constantFrom(...originals), reencodings), ([original, how]) => {
      const bytes = how.change.same ? reencoded(original, how) : null
      if (!bytes) return
      tried++
      expect(accepted(REFUSED, () => parseCertificate(bytes))).toBeNull()
    })
    expect(tried).toBeGreaterThan(300)
  })

  test('is never taken for signed by its authority', () => {
    always(6_000, changed, ({ original, bytes }) => {
      const parsed = bytes.equals(original) ? null : accepted(REFUSED, () => parseCertificate(bytes))
      expect(parsed?.verifySignedBy(authority) ?? false).toBe(false)
    })
  })

  test('is never an SVID', async () => {
    const ca = await TestCa.create('root', TIMES)
    const leaf = await ca.issue(createPublicKey(key), { ...TIMES, names: [{ type: 'url', value: ID }] })
    const authorities = [parseAuthority(ca.der)]
    const verify = (bytes: Uint8Array) =>
      verifyX509Svid({ chain: [bytes], key, expected: SpiffeId.parse(ID), named: ID, authorities, now: NOW })
    expect(verify(leaf).spiffeId.uri).toBe(ID)
    always(3_000, mutations, (changes) => {
      const bytes = mutated(leaf, changes)
      if (!bytes.equals(leaf)) expect(accepted(REFUSED, () => verify(bytes))).toBeNull()
    })
  })
})

/** URI names as Node prints them, which quotes what could be misread. */
function urisOf(certificate: X509Certificate): readonly string[] {
  const text = certificate.subjectAltName ?? ''
  const names = text.match(/[^,"]+(?:"(?:[^"\\]|\\.)*")?(?=, |$)/g) ?? []
  return names
    .map((name) => name.replace(/^, /, '').trimStart())
    .filter((name) => name.startsWith('URI:'))
    .map((name) => name.slice(4))
    .map((value) => (value.startsWith('"') ? (JSON.parse(value) as string) : value))
}

const tags = fc.oneof(fc.constantFrom(...Object.values(TAG), 0x80, 0x82, 0x86, 0x87, 0xa0, 0xa1, 0xa4), fc.nat(255))
const { element } = fc.letrec<{ element: Buffer }>((tie) => ({
  element: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    fc.tuple(tags, fc.uint8Array({ maxLength: 12 })).map(([tag, content]) => der(tag, content)),
    fc.tuple(tags, fc.array(tie('element'), { maxLength: 4 })).map(([tag, parts]) => der(tag, ...parts)),
  ),
}))

describe('any DER', () => {
  test('is read to its end or refused', () => {
    always(10_000, fc.oneof(element, fc.uint8Array({ maxLength: 200 })), (bytes) => {
      accepted(REFUSED, () => {
        const read = (reader: DerReader, depth: number): void => {
          for (const one of reader.rest()) {
            expect(Buffer.from(one.raw).indexOf(Buffer.from(one.content))).toBeGreaterThanOrEqual(0)
            if (depth < 20 && (one.tag & 0x20) !== 0) read(new DerReader(one.content), depth + 1)
            accepted(REFUSED, () => oidOf(one.content))
            accepted(REFUSED, () => timeOf(one))
          }
        }
        read(new DerReader(bytes), 0)
      })
    })
  })

  test('as the value of an extension is understood or refused', () => {
    const oids = ['551d13', '551d0f', '551d25', '551d11', '551d1e', '2a0304']
    const extension = fc
      .tuple(fc.constantFrom(...oids), fc.constantFrom(null, 0x00, 0xff, 0x01), element)
      .map(([oid, critical, value]) =>
        der(
          TAG.sequence,
          der(TAG.oid, Buffer.from(oid, 'hex')),
          ...(critical === null ? [] : [der(TAG.boolean, Buffer.of(critical))]),
          der(TAG.octetString, value),
        ),
      )
    always(10_000, fc.array(extension, { maxLength: 3 }), (extensions) => {
      const found = accepted(REFUSED, () => extensionsOf(new DerReader(Buffer.concat(extensions))))
      for (const uri of found?.names.uris ?? []) expect(uri).toMatch(/^[\x20-\x7e]*$/)
      if (found?.pathLength) expect(found.pathLength).toBeLessThan(2 ** 31)
    })
  })

  test('nested without end is refused without a stack overflow', () => {
    let bytes: Buffer = Buffer.alloc(0)
    while (bytes.length < 60_000) bytes = der(TAG.sequence, bytes)
    expect(accepted(REFUSED, () => parseCertificate(bytes))).toBeNull()
    const value = der(TAG.sequence, der(TAG.oid, Buffer.from('551d1e', 'hex')), der(TAG.octetString, bytes))
    expect(accepted(REFUSED, () => extensionsOf(new DerReader(value)))).toBeNull()
  })
})

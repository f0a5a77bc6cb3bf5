import { describe, expect, it } from 'vitest'
import { parseCertificate } from '../../../agent/crypto/certificate.js'
import { TAG } from '../../../agent/crypto/der.js'
import { demandDer } from '../../../agent/crypto/strict-der.js'
import { codeOf } from '../../../agent/errors.js'
import { der } from '../../fakes/der.js'
import { AUTHORITY } from '../../fuzz/certificates.js'

function attempt(bytes: Uint8Array, check: (bytes: Uint8Array) => unknown = demandDer): string {
  try {
    check(bytes)
    return 'taken'
  } catch (error) {
    return codeOf(error)
  }
}
const inside = (element: Uint8Array) => der(TAG.sequence, der(0xa3, element), der(TAG.oid, Buffer.of(0x2a)))
const nested = (levels: number): Buffer => (levels === 0 ? Buffer.alloc(0) : der(TAG.sequence, nested(levels - 1)))

describe('what DER forbids is refused, however deep it stands:', () => {
  it.each<[string, Uint8Array]>([
    ['a length that is not the shortest', Buffer.from('048101ff', 'hex')],
    ['a long length that is not the shortest', Buffer.concat([Buffer.from('04820080', 'hex'), Buffer.alloc(128)])],
    ['a positive integer with padding', Buffer.from('0202007f', 'hex')],
    ['a negative integer with padding', Buffer.from('0202ff80', 'hex')],
    ['an integer of no octets', Buffer.from('0200', 'hex')],
    ['a truth that is neither all ones nor all zeros', Buffer.from('010101', 'hex')],
    ['an element that runs over its end', Buffer.from('0405ff', 'hex')],
  ])('%s', (_what, element) => {
    expect(attempt(inside(element))).toBe('svid.invalid')
  })

  it('elements in elements without end', () => {
    expect(attempt(nested(30))).toBe('taken')
    expect(attempt(nested(1_000))).toBe('svid.invalid')
  })
})

it.each<[string, string]>([
  ['an integer that needs its zero', '02020080'],
  ['a negative integer', '0201ff'],
  ['zero', '020100'],
  ['truth', '0101ff'],
])('%s is taken', (_what, hex) => {
  expect(attempt(inside(Buffer.from(hex, 'hex')))).toBe('taken')
})

it('a certificate whose name says its length in another way is none', () => {
  expect(attempt(AUTHORITY, parseCertificate)).toBe('taken')
  // The issuer, CN=root: SEQUENCE 30 0f, SET 31 0d.
  const hex = Buffer.from(AUTHORITY).toString('hex')
  const longer = hex
    .replace('300f310d', '3010' + '31810d')
    .replace(/^30820166/, '30820167')
    .replace('3082010d', '3082010e')
  expect(longer).toHaveLength(hex.length + 2)
  expect(attempt(Buffer.from(longer, 'hex'), parseCertificate)).toBe('svid.invalid')
})

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { booleanOf, DerReader, oidOf, smallIntegerOf, timeOf } from '../../../agent/crypto/der.js'
import { codeOf } from '../../../agent/errors.js'
import { der } from '../../fakes/der.js'

const hex = (text: string) => Buffer.from(text, 'hex')
const or = <T>(work: () => T): T | string => {
  try {
    return work()
  } catch (error) {
    return codeOf(error)
  }
}
const content = (bytes: string) => or(() => Buffer.from(new DerReader(hex(bytes)).next().content).toString('hex'))

describe('DER', () => {
  it.each([
    ['a short length', '0401aa', 'aa'],
    ['no content', '0400', ''],
    ['an indefinite length', '0480aa0000', 'svid.invalid'],
    ['a long length where a short one would do', '048101aa', 'svid.invalid'],
    ['a length with a leading zero', `04820080${'aa'.repeat(128)}`, 'svid.invalid'],
    ['a length of five octets', '0485000000000100', 'svid.invalid'],
    ['a tag number above 30', '1f8101aa', 'svid.invalid'],
    ['a content that is cut off', '0402aa', 'svid.invalid'],
    ['a length that is cut off', '0482', 'svid.invalid'],
    ['nothing', '', 'svid.invalid'],
  ])('with %s is read or refused', (_name, bytes, expected) => {
    expect(content(bytes)).toBe(expected)
  })

  it('is read in order, by tag, to the end', () => {
    const reader = new DerReader(hex('0401aa0501bb'))
    expect(reader.optional(0x05)).toBeNull()
    expect(Buffer.from(reader.next(0x04).raw).toString('hex')).toBe('0401aa')
    expect(or(() => reader.end())).toBe('svid.invalid')
    expect(or(() => reader.next(0x04))).toBe('svid.invalid')
  })

  it('of any content comes back as it was written', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 1000 }), (bytes) => {
        const reader = new DerReader(der(0x04, bytes))
        expect(Buffer.from(reader.next(0x04).content).equals(Buffer.from(bytes))).toBe(true)
        reader.end()
      }),
      { seed: 1 },
    )
  })

  it.each([
    ['2a8648ce3d040302', '1.2.840.10045.4.3.2'],
    ['551d11', '2.5.29.17'],
    ['883703', '2.999.3'],
    ['00', '0.0'],
    ['', 'svid.invalid'],
    ['5580', 'svid.invalid'],
    ['558011', 'svid.invalid'],
    ['ffffffffffffffff7f', 'svid.invalid'],
  ])('object identifier %s is %s', (bytes, expected) => {
    expect(or(() => oidOf(hex(bytes)))).toBe(expected)
  })

  it.each([
    ['00', false],
    ['ff', true],
    ['01', 'svid.invalid'],
    ['', 'svid.invalid'],
    ['ffff', 'svid.invalid'],
  ])('boolean %s is %s', (bytes, expected) => {
    expect(or(() => booleanOf(hex(bytes)))).toBe(expected)
  })

  it.each([
    ['00', 0],
    ['7f', 127],
    ['0080', 128],
    ['80', 'svid.invalid'],
    ['0001', 'svid.invalid'],
    ['', 'svid.invalid'],
    ['0100000000', 'svid.invalid'],
  ])('small integer %s is %s', (bytes, expected) => {
    expect(or(() => smallIntegerOf(hex(bytes)))).toBe(expected)
  })

  it.each([
    [0x17, '260304050607Z', '2026-03-04T05:06:07.000Z'],
    [0x17, '491231235959Z', '2049-12-31T23:59:59.000Z'],
    [0x17, '500101000000Z', '1950-01-01T00:00:00.000Z'],
    [0x18, '20510101000000Z', '2051-01-01T00:00:00.000Z'],
    [0x18, '99991231235959Z', '9999-12-31T23:59:59.000Z'],
    [0x17, '260230000000Z', 'svid.invalid'],
    [0x17, '260304250000Z', 'svid.invalid'],
    [0x17, '2603040506Z', 'svid.invalid'],
    [0x17, '260304050607+0100', 'svid.invalid'],
    [0x18, '20260304050607.5Z', 'svid.invalid'],
    [0x04, '20260304050607Z', 'svid.invalid'],
  ])('time %i %s is %s', (tag, text, expected) => {
    const element = new DerReader(der(tag, Buffer.from(text))).next()
    expect(or(() => new Date(timeOf(element)).toISOString())).toBe(expected)
  })
})

import { describe, expect, it } from 'vitest'
import { DerReader } from '../../../agent/crypto/der.js'
import { type GeneralNames, NO_NAMES } from '../../../agent/crypto/general-names.js'
import { nameConstraintsOf, violation } from '../../../agent/crypto/name-constraints.js'
import { der, generalName as name, nameConstraints } from '../../fakes/der.js'

const parse = (value: Buffer) => nameConstraintsOf(new DerReader(value).enter(0x30))
const allowed = (value: Buffer, names: Partial<GeneralNames>, subjectEmpty = true) =>
  violation(parse(value), { names: { ...NO_NAMES, ...names }, subjectEmpty }) === null
const uri = (text: string) => ({ uris: [text] })

describe('name constraints', () => {
  it.each([
    ['example.org', 'spiffe://example.org/web', true],
    ['example.org', 'spiffe://EXAMPLE.org/web', true],
    ['example.org', 'spiffe://other.org/web', false],
    ['example.org', 'spiffe://notexample.org/web', false],
    // RFC 5280 4.2.1.10: without a leading dot it is a host; with one, everything below it.
    ['example.org', 'spiffe://sub.example.org/web', false],
    ['.example.org', 'spiffe://sub.example.org/web', true],
    ['.example.org', 'spiffe://example.org/web', false],
    ['example.org', 'spiffe://example.org:443/web', true],
    ['example.org', 'spiffe://user@example.org/web', true],
    ['example.org', 'spiffe://example.org@other.org/web', false],
    ['example.org', 'urn:example.org', false],
    ['', 'spiffe://anything/web', true],
  ])('of URI host %j hold for %s: %s', (base, id, expected) => {
    expect(allowed(nameConstraints([name.uri(base)]), uri(id))).toBe(expected)
  })

  it('exclude subdomains too: the stricter reading wins both ways', () => {
    const excluded = nameConstraints([], [name.uri('example.org')])
    expect(allowed(excluded, uri('spiffe://example.org/web'))).toBe(false)
    expect(allowed(excluded, uri('spiffe://sub.example.org/web'))).toBe(false)
    expect(allowed(excluded, uri('spiffe://other.org/web'))).toBe(true)
  })

  it('exclude what they also permit', () => {
    const both = nameConstraints([name.uri('.example.org')], [name.uri('bad.example.org')])
    expect(allowed(both, uri('spiffe://good.example.org/web'))).toBe(true)
    expect(allowed(both, uri('spiffe://bad.example.org/web'))).toBe(false)
  })

  it('bind only names of their own form, and every one of those', () => {
    const hosts = nameConstraints([name.dns('example.org')])
    expect(allowed(hosts, uri('spiffe://other.org/web'))).toBe(true)
    expect(allowed(hosts, { dns: ['example.org', 'a.example.org'] })).toBe(true)
    expect(allowed(hosts, { dns: ['example.org', 'localhost'] })).toBe(false)
  })

  it.each([
    ['localhost', 'svid@localhost', true],
    ['svid@localhost', 'svid@localhost', true],
    ['other@localhost', 'svid@localhost', false],
    ['example.org', 'svid@localhost', false],
    ['.example.org', 'svid@mail.example.org', true],
  ])('of mailbox %j hold for %s: %s', (base, email, expected) => {
    expect(allowed(nameConstraints([name.email(base)]), { emails: [email] })).toBe(expected)
  })

  it('of addresses compare under their mask', () => {
    const range = nameConstraints([name.ip(10, 1, 0, 0, 255, 255, 0, 0)])
    expect(allowed(range, { ips: [Uint8Array.of(10, 1, 2, 3)] })).toBe(true)
    expect(allowed(range, { ips: [Uint8Array.of(10, 2, 2, 3)] })).toBe(false)
    expect(allowed(range, { ips: [new Uint8Array(16)] })).toBe(false)
  })

  it('of forms that cannot be compared forbid names of those forms', () => {
    expect(allowed(nameConstraints([name.directory()]), {}, true)).toBe(true)
    expect(allowed(nameConstraints([name.directory()]), {}, false)).toBe(false)
    expect(allowed(nameConstraints([], [name.other()]), { others: 1 })).toBe(false)
    expect(allowed(nameConstraints([], [name.other()]), { others: 0 })).toBe(true)
  })

  it.each([
    ['empty', der(0x30)],
    ['with a minimum', der(0x30, der(0xa0, der(0x30, name.uri('a'), der(0x80, Buffer.of(1)))))],
    ['with a maximum', der(0x30, der(0xa0, der(0x30, name.uri('a'), der(0x81, Buffer.of(1)))))],
    ['with an address without its mask', nameConstraints([name.ip(10, 0, 0, 1)])],
    ['with more behind them', der(0x30, der(0xa1, der(0x30, name.uri('a'))), der(0xa0))],
  ])('%s are refused', (_name, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: 'svid.invalid' }))
  })
})

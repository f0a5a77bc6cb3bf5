import { Extension, KeyUsageFlags } from '@peculiar/x509'
import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { certificateOf, parseAuthority } from '../../../agent/identity/authority.js'
import { TestCa, type Wish } from '../../fakes/ca.js'
import { detailsOf } from '../../support/details.js'

const TIMES = { notBefore: Date.parse('2026-01-01T00:00:00Z'), notAfter: Date.parse('2027-01-01T00:00:00Z') }
const outcomeOf = async (wish: Partial<Wish>) => {
  const { der } = await TestCa.create('Root', { ...TIMES, ...wish })
  try {
    return parseAuthority(der)
  } catch (error) {
    return error instanceof AgentError ? `${error.code} ${detailsOf(error)['check']}` : error
  }
}
const url = (value: string) => ({ names: [{ type: 'url' as const, value }] })

describe('an authority', () => {
  it('is a CA that may sign certificates, expired or not', async () => {
    expect(await outcomeOf({})).toMatchObject(TIMES)
    expect(await outcomeOf({ notAfter: TIMES.notBefore + 1000 })).toMatchObject({ notAfter: TIMES.notBefore + 1000 })
    expect(await outcomeOf({ keyUsage: KeyUsageFlags.keyCertSign })).toMatchObject(TIMES)
  })

  it('may bear the SPIFFE ID of a trust domain', async () => {
    expect(await outcomeOf(url('spiffe://example.org'))).toMatchObject(TIMES)
    expect(await outcomeOf(url('https://ca.example.org/'))).toMatchObject(TIMES)
  })

  it.each<[string, Partial<Wish>]>([
    ['is no leaf', { ca: undefined as never }],
    ['has a key usage', { keyUsage: null }],
    ['may sign certificates', { keyUsage: KeyUsageFlags.digitalSignature }],
    ['has no SPIFFE ID with a path', url('spiffe://example.org/ca')],
    ['has no malformed SPIFFE ID', url('spiffe://EXAMPLE.org')],
    ['has no critical extension that nobody understands', { extra: [new Extension('1.2.3', true, Buffer.of(5, 0))] }],
  ])('%s', async (_name, wish) => {
    expect(await outcomeOf(wish)).toBe('svid.invalid authority')
  })

  it('is parsed once, also when it was made by hand', async () => {
    const { der } = await TestCa.create('Root', TIMES)
    const authority = parseAuthority(der)
    expect(certificateOf(authority)).toBe(certificateOf(authority))
    const copy = { ...authority }
    expect(certificateOf(copy).fingerprint).toBe(authority.fingerprint)
    expect(certificateOf(copy)).toBe(certificateOf(copy))
  })
})

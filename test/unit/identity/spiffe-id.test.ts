import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { codeOf } from '../../../agent/errors.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'

function codeOfParsing(text: string): string {
  try {
    SpiffeId.parse(text)
  } catch (error) {
    return codeOf(error)
  }
  return 'parsed'
}

describe('SpiffeId', () => {
  it.each([
    ['spiffe://example.org', 'example.org', ''],
    ['spiffe://example.org/a', 'example.org', '/a'],
    ['spiffe://example.org/a/B.c_d-e/0', 'example.org', '/a/B.c_d-e/0'],
    [
      'spiffe://7c9e6679-7425-40de-944b-e07fc1f90ae7/agent/node-1',
      '7c9e6679-7425-40de-944b-e07fc1f90ae7',
      '/agent/node-1',
    ],
    ['spiffe://1.2.3.4/a', '1.2.3.4', '/a'],
    ['spiffe://example.org/...', 'example.org', '/...'],
    ['spiffe://example.org/..a/.b', 'example.org', '/..a/.b'],
    [`spiffe://${'a'.repeat(255)}/x`, 'a'.repeat(255), '/x'],
  ])('accepts %s', (text, trustDomain, path) => {
    const id = SpiffeId.parse(text)
    expect([id.uri, id.trustDomain, id.path]).toEqual([text, trustDomain, path])
  })

  it.each([
    ['nothing', ''],
    ['no scheme', 'example.org/a'],
    ['another scheme', 'https://example.org/a'],
    ['an upper-case scheme (I-05, strict)', 'SPIFFE://example.org/a'],
    ['no trust domain', 'spiffe:///a'],
    ['nothing after the scheme', 'spiffe://'],
    ['an upper-case trust domain', 'spiffe://Example.org/a'],
    ['user information', 'spiffe://me@example.org/a'],
    ['a port', 'spiffe://example.org:443/a'],
    ['an IPv6 address', 'spiffe://[::1]/a'],
    ['percent-encoding in the trust domain', 'spiffe://ex%61mple.org/a'],
    ['percent-encoding in the path', 'spiffe://example.org/%61'],
    ['a trailing slash', 'spiffe://example.org/a/'],
    ['a root path', 'spiffe://example.org/'],
    ['an empty segment', 'spiffe://example.org/a//b'],
    ['a relative segment .', 'spiffe://example.org/a/./b'],
    ['a relative segment ..', 'spiffe://example.org/../b'],
    ['a query', 'spiffe://example.org/a?b'],
    ['an empty query', 'spiffe://example.org/a?'],
    ['a fragment', 'spiffe://example.org/a#b'],
    ['a space at the end', 'spiffe://example.org/a '],
    ['a newline at the end', 'spiffe://example.org/a\n'],
    ['a newline after the trust domain', 'spiffe://example.org\n'],
    ['a letter beyond ASCII', 'spiffe://exämple.org/a'],
    ['a backslash', 'spiffe://example.org\\a'],
    ['a NUL', 'spiffe://example.org/a\u0000'],
    ['a trust domain of 256 bytes', `spiffe://${'a'.repeat(256)}/x`],
    ['2049 bytes', `spiffe://example.org/${'a'.repeat(2049 - 21)}`],
  ])('refuses %s', (_what, text) => {
    expect(codeOfParsing(text)).toBe('spiffe_id.invalid')
  })

  it('accepts 2048 bytes (SPIFFE-ID 2.3)', () => {
    const text = `spiffe://example.org/${'a'.repeat(2048 - 21)}`
    expect(SpiffeId.parse(text).uri).toHaveLength(2048)
  })

  it('never quotes what it refuses', () => {
    expect(SpiffeId.tryParse('spiffe://example.org/a?token=geheim')).not.toContain('geheim')
  })

  it('prints and serializes as its URI, and equals one of the same URI only', () => {
    const id = SpiffeId.parse('spiffe://example.org/a')
    expect(`${id} ${JSON.stringify({ id })}`).toBe('spiffe://example.org/a {"id":"spiffe://example.org/a"}')
    expect(id.equals(SpiffeId.parse('spiffe://example.org/a'))).toBe(true)
    expect(id.equals(SpiffeId.parse('spiffe://example.org/A'))).toBe(false)
  })

  it('names a trust domain itself', () => {
    expect(SpiffeId.ofTrustDomain('example.org').uri).toBe('spiffe://example.org')
    expect(() => SpiffeId.ofTrustDomain('example.org/a/')).toThrow()
  })

  it('keeps every text that it accepts byte for byte, and every part of it is of the allowed kind', () => {
    const piece = fc.constantFrom('spiffe://', 'a', 'Z', '/', '.', '..', '-', '_', '%2e', '\n', '?', '#', 'ä', ':', '@')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('')
        const id = SpiffeId.tryParse(text)
        if (typeof id === 'string') return
        expect(id.uri).toBe(text)
        expect(`spiffe://${id.trustDomain}${id.path}`).toBe(text)
        expect(text).toMatch(/^spiffe:\/\/[a-z0-9._-]+(\/[a-zA-Z0-9._-]+)*$/)
        expect(id.path.split('/').some((segment) => segment === '.' || segment === '..')).toBe(false)
      }),
    )
  })
})

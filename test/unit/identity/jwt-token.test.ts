import { describe, expect, test } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { hopeless, readToken } from '../../../agent/identity/jwt-token.js'

const SUB = 'spiffe://td.example/web'
const encode = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const token = (header: unknown, claims: unknown, signature = 'AAAA') =>
  `${encode(header)}.${encode(claims)}.${signature}`
const read = (text: string) => readToken(new Secret(text))
const refused = expect.objectContaining({ code: 'jwt.invalid' })
/** Claims as text: what is nested so deeply cannot be written as JSON by a program. */
const nested = (levels: number) => `{"sub":"${SUB}","deep":${'['.repeat(levels)}${']'.repeat(levels)}}`

test('a token tells its algorithm, key, subject and claims', () => {
  const read1 = read(token({ alg: 'ES256', kid: 'k', typ: 'JWT' }, { sub: SUB, more: [1] }))
  expect(read1).toMatchObject({ algorithm: 'ES256', kid: 'k', claims: { sub: SUB, more: [1] } })
  expect(read1.subject.uri).toBe(SUB)
  expect(read(token({ alg: 'RS256', kid: 5 }, { sub: SUB })).kid).toBeUndefined()
})

describe('what is not read at all', () => {
  test.each<[string, string]>([
    ['nothing', ''],
    ['JSON serialization', JSON.stringify({ payload: 'e30', signatures: [] })],
    ['two parts', 'e30.e30'],
    ['five parts (encrypted)', 'e30.e30.e30.e30.e30'],
    ['no signature', token({ alg: 'RS256' }, { sub: SUB }, '')],
    ['padding', `${token({ alg: 'RS256' }, { sub: SUB })}=`],
    ['white space', ` ${token({ alg: 'RS256' }, { sub: SUB })}`],
    ['base64 with bits that stand for nothing', token({ alg: 'RS256' }, { sub: SUB }, 'AAB')],
    ['the other base64', token({ alg: 'RS256' }, { sub: SUB }, 'a+/a')],
    ['a header that is no JSON', token('{', { sub: SUB })],
    ['a header that is a list', token([], { sub: SUB })],
    ['no algorithm', token({}, { sub: SUB })],
    ['the algorithm none', token({ alg: 'none' }, { sub: SUB })],
    ['an HMAC', token({ alg: 'HS256' }, { sub: SUB })],
    ['an Edwards curve', token({ alg: 'EdDSA' }, { sub: SUB })],
    ['an algorithm in the wrong case', token({ alg: 'rs256' }, { sub: SUB })],
    ['a list of algorithms', token({ alg: ['RS256'] }, { sub: SUB })],
    ['the type of a WIT-SVID', token({ alg: 'RS256', typ: 'wit+jwt' }, { sub: SUB })],
    ['a type in the wrong case', token({ alg: 'RS256', typ: 'jwt' }, { sub: SUB })],
    ['critical parameters', token({ alg: 'RS256', crit: ['b64'], b64: false }, { sub: SUB })],
    ['claims that are no JSON', token({ alg: 'RS256' }, '{"sub":')],
    ['claims that are a list', token({ alg: 'RS256' }, [SUB])],
    ['claims that are null', token({ alg: 'RS256' }, null)],
    ['a subject that is no SPIFFE ID', token({ alg: 'RS256' }, { sub: 'https://td.example/web' })],
    ['no subject', token({ alg: 'RS256' }, {})],
    ['more than 32 KiB', token({ alg: 'RS256' }, { sub: SUB, pad: 'x'.repeat(30_000) })],
    ['claims nested more deeply than clients can read', token({ alg: 'RS256' }, nested(25))],
    ['claims nested thousands deep', token({ alg: 'RS256' }, nested(9_000))],
  ])('%s', (_what, text) => {
    expect(() => read(text)).toThrow(refused)
  })
})

test('claims nested as deeply as clients can read are read', () => {
  expect(read(token({ alg: 'RS256' }, nested(23))).claims).toHaveProperty('deep')
})

describe('hopeless, whoever signed it', () => {
  const now = 1_000_000
  test.each<[string, object, boolean]>([
    ['a token that is good', { exp: 1_000, aud: ['db'] }, false],
    ['one whose audience is one string', { exp: 1_000, aud: 'db' }, false],
    ['one that expired within the leeway', { exp: 996, aud: 'db' }, false],
    ['one that has expired', { exp: 995, aud: 'db' }, true],
    ['one without an expiry', { aud: 'db' }, true],
    ['one for somebody else', { exp: 2_000, aud: ['other'] }, true],
    ['one for nobody', { exp: 2_000 }, true],
  ])('%s: %o', (_what, claims, expected) => {
    expect(hopeless(claims as Record<string, unknown>, 'db', now) !== null).toBe(expected)
  })
})

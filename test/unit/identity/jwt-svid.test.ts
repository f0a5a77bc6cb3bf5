import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { codeOf } from '../../../agent/errors.js'
import { type JwtKey, parseJwtKey, verifyJwtSvid } from '../../../agent/identity/jwt-svid.js'
import { rsaKey } from '../../fakes/keys.js'
import { jwtKeyOf, publishedKey, secretToken } from '../../fakes/tokens.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const SECOND = NOW / 1000
const CLAIMS = { sub: 'spiffe://td.example/web', aud: ['db'], exp: SECOND + 300, iat: SECOND }
const refused = expect.objectContaining({ code: 'jwt.invalid' })
const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey

let rsa: KeyObject
let stranger: KeyObject
let key: JwtKey

beforeAll(async () => {
  rsa = await rsaKey(0)
  stranger = await rsaKey(1)
  key = await jwtKeyOf(rsa, { kid: 'default', alg: 'RS256' })
})

function verify(wish: Partial<Parameters<typeof secretToken>[0]>, keys: readonly JwtKey[] = [key], audience = 'db') {
  return verifyJwtSvid(secretToken({ key: rsa, claims: CLAIMS, ...wish }), { audience, keys, now: NOW })
}

describe('a token holds', () => {
  test('without a kid, by any key that fits', async () => {
    const other = await jwtKeyOf(stranger, { kid: 'other' })
    const svid = await verify({}, [other, key])
    expect(svid.spiffeId.uri).toBe('spiffe://td.example/web')
    expect(svid).toMatchObject({ issuedAt: NOW, expiresAt: NOW + 300_000, claims: CLAIMS })
  })
  test('with a kid that no key has, by any key that fits', async () => {
    await expect(verify({ header: { kid: 'unknown' } })).resolves.toBeDefined()
  })
  test('by either of two keys of one kid: the server rotates under the same one', async () => {
    const before = await jwtKeyOf(stranger, { kid: 'default', alg: 'RS256' })
    const header = { kid: 'default' }
    await expect(verify({ header }, [before, key])).resolves.toBeDefined()
    await expect(verify({ header, key: stranger }, [before, key])).resolves.toBeDefined()
  })
  test.each(['JWT', 'JOSE'])('of type %s', async (typ) => {
    await expect(verify({ header: { typ } })).resolves.toBeDefined()
  })
  test('whose audience is one string', async () => {
    await expect(verify({ claims: { ...CLAIMS, aud: 'db' } })).resolves.toBeDefined()
  })
  test('within five seconds of its expiry and of its beginning', async () => {
    await expect(verify({ claims: { ...CLAIMS, exp: SECOND - 4 } })).resolves.toBeDefined()
    await expect(verify({ claims: { ...CLAIMS, nbf: SECOND + 5 } })).resolves.toBeDefined()
  })
  test('whose iat lies in the future or is absurd', async () => {
    await expect(verify({ claims: { ...CLAIMS, iat: SECOND + 3600 } })).resolves.toBeDefined()
    const absurd = JSON.stringify(CLAIMS).replace(/"iat":\d+/, '"iat":1e999')
    await expect(verify({ claims: absurd })).resolves.toMatchObject({ issuedAt: NOW })
  })
  test.each([
    ['RS384', () => rsa],
    ['RS512', () => rsa],
    ['PS256', () => rsa],
    ['PS384', () => rsa],
    ['PS512', () => rsa],
    ['ES256', () => ec('P-256')],
    ['ES384', () => ec('P-384')],
    ['ES512', () => ec('P-521')],
  ] as const)('signed with %s by a key for it', async (alg, make) => {
    const signer = make()
    await expect(verify({ alg, key: signer }, [await jwtKeyOf(signer, { alg })])).resolves.toBeDefined()
  })
})

describe('a token does not hold', () => {
  test.each<[string, object]>([
    ['for another audience', { aud: ['other'] }],
    ['without an audience', { aud: undefined }],
    ['with an audience that is no text', { aud: [{ db: 1 }] }],
    ['that has expired', { exp: SECOND - 6 }],
    ['without an expiry', { exp: undefined }],
    ['whose expiry is text', { exp: `${SECOND + 300}` }],
    ['that is not valid yet', { nbf: SECOND + 60 }],
    ['without a subject', { sub: undefined }],
    ['whose subject is no SPIFFE ID', { sub: 'web' }],
    ['whose subject would only be one after normalisation', { sub: 'spiffe://td.example/a/../web' }],
    ['whose subject is a list', { sub: ['spiffe://td.example/web'] }],
  ])('%s', async (_what, change) => {
    await expect(verify({ claims: { ...CLAIMS, ...change } })).rejects.toEqual(refused)
  })
  test('whose expiry is a number that no calendar has', async () => {
    const claims = JSON.stringify(CLAIMS).replace(/"exp":\d+/, '"exp":1e999')
    await expect(verify({ claims })).rejects.toEqual(refused)
  })
  test('of a foreign key, which is a matter of the signature', async () => {
    await expect(verify({ key: stranger })).rejects.toMatchObject({ details: { check: 'signature' } })
  })
  test('of a foreign key, even if it names ours', async () => {
    await expect(verify({ key: stranger, header: { kid: 'default' } })).rejects.toEqual(refused)
  })
  test('signed with an algorithm that its key is not for', async () => {
    await expect(verify({ alg: 'RS512' })).rejects.toEqual(refused)
    await expect(verify({ alg: 'PS256' })).rejects.toEqual(refused)
  })
  test('when no key is known', async () => {
    await expect(verify({}, [])).rejects.toEqual(refused)
  })
  test('whose public key was taken for an HMAC secret', async () => {
    const hmacKey = Buffer.from(JSON.stringify(key.jwk))
    await expect(verify({ alg: 'HS256', hmacKey })).rejects.toEqual(refused)
  })
})

describe('a key of a JWKS', () => {
  test('is published with its kid, its algorithm, the use of JWT-SVIDs and nothing private', async () => {
    const parsed = await parseJwtKey({ ...rsa.export({ format: 'jwk' }), kid: 'default', use: 'sig', alg: 'RS256' })
    expect(Object.keys(parsed?.jwk ?? {}).sort()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use'])
    expect(parsed?.jwk).toMatchObject({ kid: 'default', use: 'jwt-svid', alg: 'RS256' })
  })
  test('without a kid gets one of its own, always the same', async () => {
    const { jwk } = await jwtKeyOf(rsa)
    expect(jwk.kid).toMatch(/^[0-9a-f]{32}$/)
    expect((await jwtKeyOf(rsa)).jwk.kid).toBe(jwk.kid)
  })
  test('without an algorithm gets that of its curve', async () => {
    expect((await jwtKeyOf(ec('P-384'))).jwk.alg).toBe('ES384')
  })
  test('comes back from what was published', async () => {
    expect((await parseJwtKey({ ...key.jwk }))?.fingerprint).toBe(key.fingerprint)
  })
  test.each<[string, () => Record<string, unknown>]>([
    ['for X.509-SVIDs', () => publishedKey(rsa, { use: 'x509-svid' })],
    ['for WIT-SVIDs', () => publishedKey(rsa, { use: 'wit-svid' })],
    ['for encryption', () => publishedKey(rsa, { use: 'enc' })],
    ['that may not verify', () => publishedKey(rsa, { key_ops: ['encrypt'] })],
    ['of another algorithm', () => publishedKey(rsa, { alg: 'RSA-OAEP' })],
    ['of an algorithm of another kind of key', () => publishedKey(rsa, { alg: 'ES256' })],
    ['with an elliptic curve and an RSA algorithm', () => publishedKey(ec('P-256'), { alg: 'RS256' })],
    ['of a curve that no algorithm has', () => publishedKey(ec('secp256k1'))],
    ['that is symmetric', () => ({ kty: 'oct', k: 'AAAA', alg: 'HS256' })],
    ['on an Edwards curve', () => publishedKey(generateKeyPairSync('ed25519').privateKey)],
    ['of 1024 bits behind as many zeros', () => padded(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)],
    ['of 1024 bits', () => publishedKey(generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey)],
    ['of a kind that every object has', () => ({ kty: 'constructor' })],
    ['of a kind that cannot even be printed', () => JSON.parse('{"kty":{"toString":1,"valueOf":1}}')],
    ['whose members are no text', () => ({ kty: 'RSA', n: 1, e: [] })],
    ['whose point is not on its curve', () => ({ ...publishedKey(ec('P-256')), x: 'AAAA', y: 'AAAA' })],
    ['that is empty', () => ({})],
  ])('%s is none for JWT-SVIDs', async (_what, jwk) => {
    expect(await parseJwtKey(jwk())).toBeNull()
  })
})

test('no error holds a piece of the token', async () => {
  const token = secretToken({ key: stranger, claims: { ...CLAIMS, secret: 'hush' } })
  const error = await verifyJwtSvid(token, { audience: 'db', keys: [key], now: NOW }).catch((reason: unknown) => reason)
  expect(codeOf(error)).toBe('jwt.invalid')
  for (const part of token.reveal().split('.')) expect(JSON.stringify([error, String(error)])).not.toContain(part)
})

/** A short modulus that is written as a long one. */
function padded(key: KeyObject): Record<string, unknown> {
  const published = publishedKey(key)
  const n = Buffer.from(String(published['n']), 'base64url')
  return { ...published, n: Buffer.concat([Buffer.alloc(128), n]).toString('base64url') }
}

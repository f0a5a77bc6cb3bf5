import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import fc from 'fast-check'
import { jwtVerify } from 'jose'
import { beforeAll, describe, expect, test } from 'vitest'
import { Secret } from '../../agent/crypto/secret.js'
import { type JwtKey, parseJwtKey, verifyJwtSvid } from '../../agent/identity/jwt-svid.js'
import { readToken } from '../../agent/identity/jwt-token.js'
import { rsaKey } from '../fakes/keys.js'
import { compactToken, jwtKeyOf, publishedKey } from '../fakes/tokens.js'
import { accepted, acceptedAsync, always, alwaysAsync } from './fuzz.js'
import { mutatedJson, mutatedText, mutations } from './mutations.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const SECOND = NOW / 1000
const REFUSED = ['jwt.invalid']
const CLAIMS = { iss: 'spiffe://td', sub: 'spiffe://td/web', aud: ['db', 'queue'], exp: SECOND + 300, iat: SECOND }
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey

let rsa: KeyObject
let keys: readonly JwtKey[]

beforeAll(async () => {
  rsa = await rsaKey(0)
  keys = [await jwtKeyOf(rsa, { kid: 'default', alg: 'RS256' }), await jwtKeyOf(ec, { kid: 'ec', alg: 'ES256' })]
})

const verify = (text: string) =>
  acceptedAsync(REFUSED, () => verifyJwtSvid(new Secret(text), { audience: 'db', keys, now: NOW }))
const part = (text: string, i: number) => Buffer.from(text.split('.')[i] ?? '', 'base64url')

describe('a real token that was changed', () => {
  test('does not hold, whatever was changed', async () => {
    const tokens = [compactToken({ key: rsa, claims: CLAIMS }), compactToken({ key: ec, claims: CLAIMS, alg: 'ES256' })]
    for (const token of tokens) expect(await verify(token)).not.toBeNull()
    await alwaysAsync(3_000, fc.tuple(fc.constantFrom(...tokens), mutations), async ([token, changes]) => {
      const text = mutatedText(token, changes)
      if (text !== token) expect(await verify(text)).toBeNull()
    })
  })

  test('is read or refused, and never quoted', () => {
    const token = compactToken({ key: ec, claims: CLAIMS, alg: 'ES256' })
    always(10_000, mutations, (changes) => {
      const text = mutatedText(token, changes)
      try {
        readToken(new Secret(text))
      } catch (error) {
        expect(error).toMatchObject({ code: 'jwt.invalid' })
        for (const piece of text.split('.').filter((one) => one.length > 20)) expect(String(error)).not.toContain(piece)
      }
    })
  })
})

const header = fc.record(
  {
    alg: fc.constantFrom(
      'RS256',
      'RS256',
      'RS256',
      'ES256',
      'ES256',
      'ES256',
      'PS256',
      'RS512',
      'none',
      'None',
      'HS256',
      'EdDSA',
      '',
    ),
    typ: fc.constantFrom('JWT', 'JWT', 'JOSE', 'JOSE', 'jwt', 'wit+jwt', 5),
    kid: fc.constantFrom('default', 'ec', 'unknown', '', '../../key', 5),
    crit: fc.constantFrom(['b64'], ['exp'], []),
    b64: fc.boolean(),
    jwk: fc.constant(publishedKey(stranger)),
    jku: fc.constant('https://attacker.example/keys'),
    x5c: fc.constant(['AAAA']),
  },
  { requiredKeys: ['alg'] },
)
const signer = fc.constantFrom('rsa', 'rsa', 'ec', 'ec', 'stranger', 'public key as secret')
/** As the server signs, so that what is in the token decides. */
const honest = fc.constantFrom(['rsa', 'RS256'] as const, ['ec', 'ES256'] as const).chain(([by, alg]) =>
  fc.tuple(
    fc.constant(by),
    fc.record(
      {
        alg: fc.constant(alg),
        typ: fc.constantFrom('JWT', 'JOSE'),
        kid: fc.constantFrom('default', 'ec', 'unknown'),
      },
      { requiredKeys: ['alg'] },
    ),
  ),
)
const signed = fc.oneof(fc.tuple(signer, header), honest) as fc.Arbitrary<
  [string, { alg: string; typ?: unknown; kid?: unknown; crit?: unknown }]
>

/** Signs as an attacker would, or as the server does. */
function forged(by: string, alg: string, rest: Record<string, unknown>, claims: unknown): string {
  const key = by === 'rsa' ? rsa : by === 'ec' ? ec : stranger
  const secret = createPublicKey(rsa).export({ type: 'spki', format: 'pem' })
  const algorithm = by === 'rsa' ? 'RS256' : by === 'public key as secret' ? 'HS256' : 'ES256'
  const token = compactToken({ key, claims, alg: algorithm, header: { ...rest, alg }, hmacKey: Buffer.from(secret) })
  return token
}

/** Whether jose takes the token for one of the server's, by a key and an algorithm that fit. */
async function holdsForJose(text: string): Promise<boolean> {
  const options = {
    audience: 'db',
    currentDate: new Date(NOW),
    clockTolerance: 5,
    requiredClaims: ['sub', 'exp', 'aud'],
  }
  for (const [key, algorithm] of [[createPublicKey(rsa), 'RS256'] as const, [createPublicKey(ec), 'ES256'] as const]) {
    const found = await jwtVerify(text, key, { ...options, algorithms: [algorithm] }).catch(() => null)
    if (found) return true
  }
  return false
}

describe('a token made up', () => {
  test('holds only where it is signed as it says, by a key of ours, and jose agrees', async () => {
    let held = 0
    // Times close to now, where a second decides.
    const second = fc.integer({ min: -12, max: 12 }).map((off) => SECOND + off)
    const times = fc.record({ exp: second, nbf: second, iat: second }, { requiredKeys: ['exp'] })
    const timed = times.map((some): unknown => ({ ...CLAIMS, ...some }))
    const claims = fc.oneof(fc.constant<unknown>(CLAIMS), fc.constant<unknown>(CLAIMS), timed, mutatedJson(CLAIMS))
    await alwaysAsync(2_000, fc.tuple(signed, claims), async ([[by, { alg, ...rest }], body]) => {
      // JSON has no undefined: such a token has no claims at all.
      const text = forged(by, alg, rest, body ?? null)
      const svid = await verify(text)
      const { typ, crit } = rest
      if (svid) {
        held++
        expect(['rsa RS256', 'ec ES256']).toContain(`${by} ${alg}`)
        expect([undefined, 'JWT', 'JOSE']).toContain(typ)
        expect(crit).toBeUndefined()
        if (rest.kid === 'default' || rest.kid === 'ec') expect(by).toBe(rest.kid === 'ec' ? 'ec' : 'rsa')
        expect(svid.claims).toEqual(JSON.parse(part(text, 1).toString('utf8')))
        expect(svid.spiffeId.uri).toBe(svid.claims.sub)
        expect(svid.expiresAt).toBeGreaterThan(NOW - 6_000)
        expect(await holdsForJose(text)).toBe(true)
      } else if (body === CLAIMS && crit === undefined && [undefined, 'JWT', 'JOSE'].includes(typ as string)) {
        // Where a key that is known is named, it is the one that must have signed.
        const signed = ['rsa RS256', 'ec ES256'].includes(`${by} ${alg}`)
        expect(signed && rest.kid !== 'default' && rest.kid !== 'ec').toBe(false)
      }
    })
    expect(held).toBeGreaterThan(200)
  })

  test('of any size and depth is refused at once', async () => {
    const encode = (text: string) => Buffer.from(text).toString('base64url')
    const huge = [
      `${encode(JSON.stringify({ alg: 'RS256', kid: 'k'.repeat(1_000_000) }))}.e30.AAAA`,
      `${encode('['.repeat(1_000_000))}.e30.AAAA`,
      `${encode(`{"alg":"RS256","x":${'['.repeat(10_000)}${']'.repeat(10_000)}}`)}.e30.AAAA`,
      `${encode('{"alg":"RS256"}')}.${encode(`{"sub":"spiffe://td/a","x":${'{"a":'.repeat(4_000)}1${'}'.repeat(4_000)}}`)}.AAAA`,
      '.'.repeat(1_000_000),
      `${'a.'.repeat(500_000)}`,
    ]
    for (const text of huge) expect(await verify(text)).toBeNull()
  })

  test('of any text is read or refused', () => {
    const texts = fc.oneof(
      fc.string(),
      fc.array(fc.base64String(), { maxLength: 5 }).map((parts) => parts.join('.')),
    )
    always(5_000, texts, (text) => void accepted(REFUSED, () => readToken(new Secret(text))))
  })
})

describe('a key of a JWKS', () => {
  const parse = (jwk: unknown) =>
    parseJwtKey((typeof jwk === 'object' && jwk !== null ? jwk : {}) as object & Record<string, unknown>)

  /** What is published is public, of a kind that may sign, and the key that OpenSSL reads in it. */
  function isGood({ jwk }: JwtKey, from: unknown): void {
    const members = jwk.kty === 'RSA' ? ['n', 'e'] : ['crv', 'x', 'y']
    expect(Object.keys(jwk).sort()).toEqual(['alg', 'kid', 'kty', 'use', ...members].sort())
    expect(jwk).toMatchObject({ use: 'jwt-svid', kid: expect.stringMatching(/./s) })
    const { use = 'sig', key_ops: operations = ['verify'] } = from as { use?: unknown; key_ops?: unknown }
    expect([null, 'sig', 'jwt-svid']).toContain(use)
    expect(operations ?? ['verify']).toContain('verify')
    const oracle = createPublicKey({ key: { ...jwk } as Record<string, string>, format: 'jwk' })
    expect(oracle.asymmetricKeyType).toBe(jwk.kty === 'RSA' ? 'rsa' : 'ec')
    if (jwk.kty === 'RSA') expect(oracle.asymmetricKeyDetails?.modulusLength).toBeGreaterThanOrEqual(2048)
  }

  test('that was changed is a public key that signs, or none', async () => {
    const more = { use: 'sig', key_ops: ['verify'] }
    const originals = [
      { ...rsa.export({ format: 'jwk' }), kid: 'default', alg: 'RS256', ...more },
      { ...publishedKey(ec), ...more },
    ]
    let found = 0
    const uses = fc.constantFrom<object>(
      { use: 'enc' },
      { use: 'wit-svid' },
      { use: 'x509-svid' },
      { key_ops: ['sign'] },
    )
    for (const original of originals) {
      const others = fc.oneof(
        mutatedJson(original),
        uses.map((one): unknown => ({ ...original, ...one })),
      )
      await alwaysAsync(1_500, others, async (jwk) => {
        const key = await parse(jwk)
        if (!key) return
        found++
        isGood(key, jwk)
      })
    }
    expect(found).toBeGreaterThan(20)
  })

  test('made of anything is none, or a good one', async () => {
    const values = fc.dictionary(
      fc.constantFrom('kty', 'alg', 'use', 'kid', 'n', 'e', 'crv', 'x', 'y', 'd', 'k', 'key_ops', '__proto__'),
      fc.oneof(fc.constantFrom('RSA', 'EC', 'oct', 'P-256', 'RS256', 'sig', 'AQAB'), fc.base64String(), fc.jsonValue()),
    )
    await alwaysAsync(3_000, fc.oneof(values, fc.jsonValue()), async (jwk) => {
      const key = await parse(jwk)
      if (key) isGood(key, jwk)
    })
  })
})

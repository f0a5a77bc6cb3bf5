import { constants, createHmac, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { Secret } from '../../agent/crypto/secret.js'
import { type JwtKey, parseJwtKey } from '../../agent/identity/jwt-svid.js'

/** How a token is to be; all of it may be wrong, which is what tests are for. */
export interface TokenWish {
  readonly key: KeyObject
  readonly claims: unknown
  /** Default RS256; `none` leaves the signature out, HS* uses `hmacKey`. */
  readonly alg?: string
  /** Members beside `alg`; one that is undefined is left out. */
  readonly header?: Readonly<Record<string, unknown>>
  readonly hmacKey?: Uint8Array
}

/** A compact token, signed at once. */
export function compactToken({ key, claims, alg = 'RS256', header = {}, hmacKey }: TokenWish): string {
  const input = `${encode({ alg, ...header })}.${encode(claims)}`
  return `${input}.${signature(alg, key, Buffer.from(input), hmacKey).toString('base64url')}`
}

/** The same as a Secret, as the agent passes tokens about. */
export function secretToken(wish: TokenWish): Secret {
  return new Secret(compactToken(wish))
}

/** A public key as the server publishes it. */
export function publishedKey(key: KeyObject, extra: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return { ...createPublicKey(key).export({ format: 'jwk' }), use: 'sig', ...extra }
}

/** A parsed key, for tests that need keys rather than their parsing. */
export async function jwtKeyOf(key: KeyObject, extra: Readonly<Record<string, unknown>> = {}): Promise<JwtKey> {
  const parsed = await parseJwtKey(publishedKey(key, extra))
  if (!parsed) throw new TypeError('not a key for JWT-SVIDs')
  return parsed
}

function signature(alg: string, key: KeyObject, input: Buffer, hmacKey?: Uint8Array): Buffer {
  const hash = `sha${alg.slice(2)}`
  switch (alg.slice(0, 2)) {
    case 'RS':
      return sign(hash, input, key)
    case 'PS':
      return sign(hash, input, {
        key,
        padding: constants.RSA_PKCS1_PSS_PADDING,
        saltLength: constants.RSA_PSS_SALTLEN_DIGEST,
      })
    case 'ES':
      return sign(hash, input, { key, dsaEncoding: 'ieee-p1363' })
    case 'HS':
      return createHmac(hash, hmacKey ?? Buffer.alloc(0))
        .update(input)
        .digest()
    case 'Ed':
      return sign(null, input, key)
    default:
      return Buffer.alloc(0)
  }
}

function encode(value: unknown): string {
  return Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
}

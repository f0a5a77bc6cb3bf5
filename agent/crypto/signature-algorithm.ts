import { contextTag, DerReader, type Element, oidOf, TAG } from './der.js'

/** Signature algorithms that the agent accepts: SHA-256 or better. The rest (SHA-1, MD5, DSA) can be forged. */
const STRONG = new Set([
  '1.2.840.113549.1.1.11', // sha256WithRSAEncryption
  '1.2.840.113549.1.1.12', // sha384WithRSAEncryption
  '1.2.840.113549.1.1.13', // sha512WithRSAEncryption
  '1.2.840.10045.4.3.2', // ecdsa-with-SHA256
  '1.2.840.10045.4.3.3', // ecdsa-with-SHA384
  '1.2.840.10045.4.3.4', // ecdsa-with-SHA512
  '1.3.101.112', // Ed25519
])
const RSASSA_PSS = '1.2.840.113549.1.1.10'
const STRONG_HASHES = new Set(['2.16.840.1.101.3.4.2.1', '2.16.840.1.101.3.4.2.2', '2.16.840.1.101.3.4.2.3'])

/** Names of other algorithms in OpenSSL and the standards. */
const NAMES: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.2': 'md2WithRSAEncryption',
  '1.2.840.113549.1.1.3': 'md4WithRSAEncryption',
  '1.2.840.113549.1.1.4': 'md5WithRSAEncryption',
  '1.2.840.113549.1.1.5': 'sha1WithRSAEncryption',
  '1.2.840.113549.1.1.14': 'sha224WithRSAEncryption',
  '1.2.840.113549.1.1.15': 'sha512-224WithRSAEncryption',
  '1.2.840.113549.1.1.16': 'sha512-256WithRSAEncryption',
  '1.3.14.3.2.3': 'md5WithRSA',
  '1.3.14.3.2.29': 'sha1WithRSA',
  '1.2.840.10045.4.1': 'ecdsa-with-SHA1',
  '1.2.840.10045.4.3.1': 'ecdsa-with-SHA224',
  '2.16.840.1.101.3.4.3.9': 'ecdsa-with-SHA3-224',
  '2.16.840.1.101.3.4.3.10': 'ecdsa-with-SHA3-256',
  '2.16.840.1.101.3.4.3.11': 'ecdsa-with-SHA3-384',
  '2.16.840.1.101.3.4.3.12': 'ecdsa-with-SHA3-512',
  '1.2.840.10040.4.3': 'dsa-with-SHA1',
  '2.16.840.1.101.3.4.3.1': 'dsa-with-SHA224',
  '2.16.840.1.101.3.4.3.2': 'dsa-with-SHA256',
  '1.3.101.113': 'Ed448',
  '2.16.840.1.101.3.4.3.17': 'ML-DSA-44',
  '2.16.840.1.101.3.4.3.18': 'ML-DSA-65',
  '2.16.840.1.101.3.4.3.19': 'ML-DSA-87',
  '1.2.156.10197.1.501': 'SM2-with-SM3',
  '1.2.643.7.1.1.3.2': 'GOST R 34.10-2012 with GOST R 34.11-2012 (256 bit)',
  '1.2.643.7.1.1.3.3': 'GOST R 34.10-2012 with GOST R 34.11-2012 (512 bit)',
}
const SHA1 = '1.3.14.3.2.26'
const HASHES: Readonly<Record<string, string>> = {
  [SHA1]: 'SHA-1',
  '1.2.840.113549.2.5': 'MD5',
  '2.16.840.1.101.3.4.2.4': 'SHA-224',
}

/**
 * The name of a signature algorithm (an AlgorithmIdentifier) that is weak or unknown;
 * null for a strong one. Throws `svid.invalid` if it is malformed.
 */
export function weakAlgorithm(identifier: Element): string | null {
  const reader = new DerReader(identifier.content)
  const oid = oidOf(reader.next(TAG.oid).content)
  if (STRONG.has(oid)) return null
  if (oid !== RSASSA_PSS) return named(NAMES, oid)
  const hash = pssHash(reader)
  return STRONG_HASHES.has(hash) ? null : `RSASSA-PSS with ${named(HASHES, hash)}`
}

/** The hash of RSASSA-PSS-params; SHA-1 if it is left out (RFC 4055 3.1). */
function pssHash(parameters: DerReader): string {
  const hash = parameters.enter(TAG.sequence).optional(contextTag(0, true))
  return hash ? oidOf(new DerReader(hash.content).enter(TAG.sequence).next(TAG.oid).content) : SHA1
}

function named(names: Readonly<Record<string, string>>, oid: string): string {
  return Object.hasOwn(names, oid) ? (names[oid] ?? oid) : `an unknown algorithm (${oid})`
}

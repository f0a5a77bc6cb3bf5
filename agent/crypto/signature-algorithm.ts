import { AgentError } from '../errors.js'
import { contextTag, DerReader, type Element, oidOf, TAG } from './der.js'

/** Signature algorithms that a certificate may bear: SHA-256 or better. The rest (SHA-1, MD5, DSA) can be forged. */
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

/** The object identifier of an AlgorithmIdentifier. Throws `svid.invalid` for a weak or unknown one. */
export function signatureAlgorithmOf(identifier: Element): string {
  const reader = new DerReader(identifier.content)
  const oid = oidOf(reader.next(TAG.oid).content)
  if (STRONG.has(oid) || (oid === RSASSA_PSS && STRONG_HASHES.has(pssHash(reader)))) return oid
  throw new AgentError('svid.invalid', `a certificate is signed with ${oid}, which is weak or unknown`, {
    details: { check: 'signature_algorithm' },
  })
}

/** The hash of RSASSA-PSS-params; SHA-1 where it is left out (RFC 4055 3.1). */
function pssHash(parameters: DerReader): string {
  const hash = parameters.enter(TAG.sequence).optional(contextTag(0, true))
  return hash ? oidOf(new DerReader(hash.content).enter(TAG.sequence).next(TAG.oid).content) : '1.3.14.3.2.26'
}

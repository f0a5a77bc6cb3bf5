import { createHash, type KeyObject, X509Certificate } from 'node:crypto'
import { AgentError } from '../errors.js'
import { contextTag, DerReader, malformed, smallIntegerOf, TAG, timeOf } from './der.js'
import { type Extensions, extensionsOf } from './extensions.js'
import { weakAlgorithm } from './signature-algorithm.js'
import { demandDer } from './strict-der.js'

const MAX_BYTES = 65_536
const EMPTY_NAME = '3000'

/**
 * An X.509 v3 certificate, well-formed by construction. Names and usages are read from the DER itself, never from a printed
 * form, which can be ambiguous.
 */
export interface Certificate extends Extensions {
  readonly der: Uint8Array
  /** Lower-case hex SHA-256 of the DER. */
  readonly fingerprint: string
  /** Lower-case hex pairs joined by colons, without leading zeros: the form in which the server revokes. */
  readonly serial: string
  /** Milliseconds since 1970. */
  readonly notBefore: number
  readonly notAfter: number
  /** Hex of the DER of the names: equal names are equal texts. */
  readonly issuer: string
  readonly subject: string
  readonly subjectEmpty: boolean
  readonly publicKey: KeyObject
  /** The name of its signature algorithm if that is weak or unknown; null: it is strong. */
  readonly weakSignature: string | null
  /** Whether the key of the authority made this certificate's signature. Does not check names and usages. */
  verifySignedBy(authority: { readonly publicKey: KeyObject }): boolean
}

/** Throws `svid.invalid` for anything but one well-formed certificate of at most 64 KiB with a strong key. */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > MAX_BYTES) throw malformed(`it is larger than ${MAX_BYTES} bytes`)
  demandDer(der)
  const outer = new DerReader(der)
  const certificate = outer.enter(TAG.sequence)
  outer.end()
  const tbs = certificate.enter(TAG.sequence)
  const algorithm = certificate.next(TAG.sequence)
  // OpenSSL ignores unused bits, so the same certificate would have two encodings.
  if (certificate.next(TAG.bitString).content[0] !== 0) throw malformed('the signature has unused bits')
  certificate.end()

  const version = tbs.optional(contextTag(0, true))
  if (!version || smallIntegerOf(new DerReader(version.content).next(TAG.integer).content) !== 2) {
    throw malformed('its version is not 3')
  }
  const serial = serialOf(tbs.next(TAG.integer).content)
  if (!Buffer.from(tbs.next(TAG.sequence).raw).equals(algorithm.raw))
    throw malformed('its two signature algorithms differ')
  const weakSignature = weakAlgorithm(algorithm)
  const issuer = Buffer.from(tbs.next(TAG.sequence).raw).toString('hex')
  const validity = tbs.enter(TAG.sequence)
  const [notBefore, notAfter] = [timeOf(validity.next()), timeOf(validity.next())]
  validity.end()
  const subject = Buffer.from(tbs.next(TAG.sequence).raw).toString('hex')
  tbs.next(TAG.sequence)
  tbs.optional(contextTag(1, false))
  tbs.optional(contextTag(2, false))
  const extensions = tbs.optional(contextTag(3, true))
  tbs.end()

  const x509 = openssl(der)
  return {
    ...extensionsOf(extensions && new DerReader(extensions.content).enter(TAG.sequence)),
    der,
    fingerprint: createHash('sha256').update(der).digest('hex'),
    serial,
    notBefore,
    notAfter,
    issuer,
    subject,
    subjectEmpty: subject === EMPTY_NAME,
    publicKey: strongKeyOf(x509),
    weakSignature,
    verifySignedBy: ({ publicKey }) => verify(x509, publicKey),
  }
}

/** OpenSSL must read the bytes too, because it verifies signatures and loads keys. */
function openssl(der: Uint8Array): X509Certificate {
  try {
    return new X509Certificate(der)
  } catch (cause) {
    throw new AgentError('svid.invalid', 'malformed certificate: OpenSSL cannot read it', {
      cause,
      details: { check: 'encoding' },
    })
  }
}

function verify(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.verify(key)
  } catch {
    return false // A key of another kind than the signature: not signed by it.
  }
}

const CURVES = new Set(['prime256v1', 'secp384r1', 'secp521r1'])

function strongKeyOf(certificate: X509Certificate): KeyObject {
  let key: KeyObject
  try {
    key = certificate.publicKey
  } catch (cause) {
    throw new AgentError('svid.invalid', 'unreadable public key in a certificate', {
      cause,
      details: { check: 'key_strength' },
    })
  }
  const { modulusLength = 0, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  const kind = key.asymmetricKeyType
  const strong =
    kind === 'rsa' || kind === 'rsa-pss'
      ? modulusLength >= 2048
      : kind === 'ec'
        ? CURVES.has(namedCurve)
        : kind === 'ed25519'
  if (strong) return key
  throw new AgentError(
    'svid.invalid',
    'weak public key in a certificate: at least RSA 2048, P-256 or Ed25519 is needed',
    {
      details: { check: 'key_strength' },
    },
  )
}

function serialOf(content: Uint8Array): string {
  const [first = 0, second] = content
  if (content.length === 0 || content.length > 21 || first & 0x80)
    throw malformed('its serial number is empty, negative or longer than 20 octets')
  const digits = first === 0 && second !== undefined ? content.subarray(1) : content
  return (Buffer.from(digits).toString('hex').match(/../g) ?? []).join(':')
}

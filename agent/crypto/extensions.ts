import { booleanOf, DerReader, malformed, oidOf, smallIntegerOf, TAG } from './der.js'
import { type GeneralNames, generalNamesOf, NO_NAMES } from './general-names.js'
import { type NameConstraints, nameConstraintsOf } from './name-constraints.js'

/** Bits of the key usage extension, most significant first (RFC 5280 4.2.1.3). */
const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const
export type KeyUsage = (typeof KEY_USAGES)[number]

/** Purposes of an extended key usage by object identifier. */
export const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
export const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

/** The extensions of a certificate. */
export interface Extensions {
  readonly hasBasicConstraints: boolean
  readonly isCa: boolean
  readonly pathLength: number | null
  /** Null if the extension is absent. */
  readonly keyUsage: ReadonlySet<KeyUsage> | null
  readonly keyUsageCritical: boolean
  /** Object identifiers; null if the extension is absent. */
  readonly extendedKeyUsage: readonly string[] | null
  readonly names: GeneralNames
  readonly sanCritical: boolean
  readonly nameConstraints: NameConstraints | null
  /** Object identifiers of critical extensions that the agent does not process. */
  readonly unhandledCritical: readonly string[]
}

/** Names of extensions (RFC 5280 4.2, RFC 7633, RFC 6962). */
const NAMES: Readonly<Record<string, string>> = {
  '2.5.29.14': 'subjectKeyIdentifier',
  '2.5.29.15': 'keyUsage',
  '2.5.29.16': 'privateKeyUsagePeriod',
  '2.5.29.17': 'subjectAltName',
  '2.5.29.18': 'issuerAltName',
  '2.5.29.19': 'basicConstraints',
  '2.5.29.30': 'nameConstraints',
  '2.5.29.31': 'cRLDistributionPoints',
  '2.5.29.32': 'certificatePolicies',
  '2.5.29.33': 'policyMappings',
  '2.5.29.35': 'authorityKeyIdentifier',
  '2.5.29.36': 'policyConstraints',
  '2.5.29.37': 'extKeyUsage',
  '2.5.29.46': 'freshestCRL',
  '2.5.29.54': 'inhibitAnyPolicy',
  '1.3.6.1.5.5.7.1.1': 'authorityInfoAccess',
  '1.3.6.1.5.5.7.1.11': 'subjectInfoAccess',
  '1.3.6.1.5.5.7.1.24': 'tlsfeature',
  '1.3.6.1.4.1.11129.2.4.3': 'the poison of Certificate Transparency',
}

/** The name of an extension in OpenSSL and the standards; for an unknown one its number. */
export function extensionName(oid: string): string {
  return Object.hasOwn(NAMES, oid) ? (NAMES[oid] ?? oid) : oid
}

const MAX_EXTENSIONS = 64
/** Path validation without a policy set does not use certificate policies (RFC 5280 6.1.1 (c)). */
const IGNORED = new Set(['2.5.29.32'])

type Parsed = { -readonly [K in keyof Extensions]: Extensions[K] }
type Parse = (value: DerReader, critical: boolean, into: Parsed) => void

/** One row for each extension that is processed; each reads the whole value. */
const PARSERS: ReadonlyMap<string, Parse> = new Map<string, Parse>([
  ['2.5.29.19', basicConstraints],
  ['2.5.29.15', keyUsage],
  ['2.5.29.37', extendedKeyUsage],
  ['2.5.29.17', subjectAlternativeName],
  ['2.5.29.30', (value, _critical, into) => (into.nameConstraints = nameConstraintsOf(value.enter(TAG.sequence)))],
])

/** The extensions of a certificate; each may occur once (RFC 5280 4.2). Throws `svid.invalid`. */
export function extensionsOf(sequence: DerReader | null): Extensions {
  const into: Parsed = {
    hasBasicConstraints: false,
    isCa: false,
    pathLength: null,
    keyUsage: null,
    keyUsageCritical: false,
    extendedKeyUsage: null,
    names: NO_NAMES,
    sanCritical: false,
    nameConstraints: null,
    unhandledCritical: [],
  }
  const seen = new Set<string>()
  for (const { content } of sequence?.rest(TAG.sequence) ?? []) {
    const extension = new DerReader(content)
    const oid = oidOf(extension.next(TAG.oid).content)
    const criticalElement = extension.optional(TAG.boolean)
    const critical = criticalElement !== null && booleanOf(criticalElement.content)
    const value = extension.enter(TAG.octetString)
    extension.end()
    if (seen.has(oid)) throw malformed(`extension ${extensionName(oid)} occurs twice`)
    if (seen.add(oid).size > MAX_EXTENSIONS) throw malformed(`it has more than ${MAX_EXTENSIONS} extensions`)
    const parse = PARSERS.get(oid)
    if (parse) {
      parse(value, critical, into)
      value.end()
    } else if (critical && !IGNORED.has(oid)) {
      into.unhandledCritical = [...into.unhandledCritical, oid]
    }
  }
  return into
}

function basicConstraints(value: DerReader, _critical: boolean, into: Parsed): void {
  into.hasBasicConstraints = true
  const sequence = value.enter(TAG.sequence)
  const ca = sequence.optional(TAG.boolean)
  into.isCa = ca !== null && booleanOf(ca.content)
  const pathLength = sequence.optional(TAG.integer)
  if (pathLength) into.pathLength = smallIntegerOf(pathLength.content)
  sequence.end()
}

function keyUsage(value: DerReader, critical: boolean, into: Parsed): void {
  const [unused = 8, ...octets] = value.next(TAG.bitString).content
  if (unused > 7 || (octets.length === 0 && unused !== 0) || octets.length > 2)
    throw malformed('the key usage is not a BIT STRING of at most 9 bits')
  const bit = (i: number) => (((octets[i >> 3] ?? 0) >> (7 - (i & 7))) & 1) === 1
  into.keyUsage = new Set(KEY_USAGES.filter((_usage, i) => bit(i)))
  into.keyUsageCritical = critical
}

function extendedKeyUsage(value: DerReader, _critical: boolean, into: Parsed): void {
  into.extendedKeyUsage = [...value.enter(TAG.sequence).rest(TAG.oid)].map(({ content }) => oidOf(content))
}

function subjectAlternativeName(value: DerReader, critical: boolean, into: Parsed): void {
  into.names = generalNamesOf(value.enter(TAG.sequence))
  into.sanCritical = critical
}

import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  type JsonGeneralName,
  KeyUsageFlags,
  KeyUsagesExtension,
  type PublicKey,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { type Issuer, nameOf, pemOf, randomSerial, type Validity, wholeSecond } from './issuer.js'
import type { Granted } from './roles.js'

/** A certificate before it is signed. Its times are rounded to whole seconds. */
export interface Draft extends Validity {
  readonly names: Granted
  readonly publicKey: PublicKey
  readonly ca: boolean
  /** Whether it has the extension; a CA always has. */
  readonly basicConstraints: boolean
  readonly digitalSignature: boolean
}

export interface SignedCertificate {
  readonly pem: string
  /** Lower-case hex pairs joined by colons. */
  readonly serial: string
}

/** Signs a draft with the extensions of a Vault PKI role; the SAN is critical when the subject is empty (X509-SVID 3.1). */
export async function signCertificate(issuer: Issuer, draft: Draft): Promise<SignedCertificate> {
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: randomSerial(),
      subject: nameOf(draft.names.commonName),
      issuer: issuer.certificate.subjectName,
      notBefore: wholeSecond(draft.notBefore),
      notAfter: wholeSecond(draft.notAfter),
      publicKey: draft.publicKey,
      signingKey: issuer.key,
      signingAlgorithm: issuer.algorithm,
      extensions: await extensionsOf(issuer, draft),
    },
    webcrypto,
  )
  return { pem: pemOf(certificate), serial: colonSerial(certificate.serialNumber) }
}

async function extensionsOf(issuer: Issuer, draft: Draft): Promise<Extension[]> {
  const usage =
    (draft.digitalSignature ? KeyUsageFlags.digitalSignature : 0) |
    KeyUsageFlags.keyEncipherment |
    KeyUsageFlags.keyAgreement |
    (draft.ca ? KeyUsageFlags.keyCertSign : 0)
  const { dnsNames, emails, ipAddresses, uris, commonName } = draft.names
  const names = [
    ...generalNames('dns', dnsNames),
    ...generalNames('email', emails),
    ...generalNames('ip', ipAddresses),
    ...generalNames('url', uris),
  ]
  return [
    ...(draft.ca || draft.basicConstraints ? [new BasicConstraintsExtension(draft.ca, undefined, true)] : []),
    new KeyUsagesExtension(usage, true),
    new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth]),
    await SubjectKeyIdentifierExtension.create(draft.publicKey, false, webcrypto),
    await AuthorityKeyIdentifierExtension.create(issuer.certificate.publicKey, false, webcrypto),
    ...(names.length > 0 ? [new SubjectAlternativeNameExtension(names, commonName === '')] : []),
  ]
}

function generalNames(type: JsonGeneralName['type'], values: readonly string[]): JsonGeneralName[] {
  return values.map((value) => ({ type, value }))
}

function colonSerial(hex: string): string {
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  return (even.toLowerCase().match(/../g) ?? []).join(':')
}

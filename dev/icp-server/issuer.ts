import 'reflect-metadata'
import { createPrivateKey, randomBytes, webcrypto } from 'node:crypto'
import {
  BasicConstraintsExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509'

/** The key type of the real CA. */
export const RSA_2048 = {
  name: 'RSASSA-PKCS1-v1_5',
  hash: 'SHA-256',
  modulusLength: 2048,
  publicExponent: new Uint8Array([1, 0, 1]),
}
/** For the server's own TLS certificate, because it starts faster. */
export const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
export type KeyAlgorithm = typeof RSA_2048 | typeof P256

/** A certificate authority: its key and its self-signed certificate. */
export interface Issuer {
  readonly key: webcrypto.CryptoKey
  readonly certificate: X509Certificate
  readonly pem: string
  readonly algorithm: KeyAlgorithm
}

/** A saved issuer, both in PEM (the key as PKCS#8). */
export interface SavedIssuer {
  readonly key: string
  readonly certificate: string
}

/** Times in milliseconds since 1970. */
export interface Validity {
  readonly notBefore: number
  readonly notAfter: number
}

/** Generates a key and a self-signed CA certificate for it. */
export async function makeIssuer(commonName: string, algorithm: KeyAlgorithm, validity: Validity): Promise<Issuer> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])
  const certificate = await X509CertificateGenerator.createSelfSigned(
    {
      serialNumber: randomSerial(),
      name: nameOf(commonName),
      notBefore: wholeSecond(validity.notBefore),
      notAfter: wholeSecond(validity.notAfter),
      keys,
      signingAlgorithm: algorithm,
      extensions: [
        new BasicConstraintsExtension(true, undefined, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
        await SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  )
  return { key: keys.privateKey, certificate, pem: pemOf(certificate), algorithm }
}

export async function saveIssuer(issuer: Issuer): Promise<SavedIssuer> {
  return { key: await exportKey(issuer.key), certificate: issuer.pem }
}

export async function restoreIssuer(saved: SavedIssuer, algorithm: KeyAlgorithm): Promise<Issuer> {
  const der = createPrivateKey(saved.key).export({ type: 'pkcs8', format: 'der' })
  const key = await webcrypto.subtle.importKey('pkcs8', der, algorithm, true, ['sign'])
  return { key, certificate: new X509Certificate(saved.certificate), pem: saved.certificate, algorithm }
}

/** PKCS#8 PEM, or PKCS#1, in which the oldest servers write RSA keys. */
export async function exportKey(key: webcrypto.CryptoKey, type: 'pkcs8' | 'pkcs1' = 'pkcs8'): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' }).export({ type, format: 'pem' }).toString()
}

export function pemOf(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`
}

/** A name with only a CN, or an empty one. Not parsed from a text, in which a comma would begin another attribute. */
export function nameOf(commonName: string): Name {
  return new Name(commonName === '' ? [] : [{ CN: [{ utf8String: commonName }] }])
}

/** 20 bytes in hex, positive and without a leading zero byte (RFC 5280 4.1.2.2). */
export function randomSerial(): string {
  const bytes = randomBytes(20)
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x01
  return bytes.toString('hex')
}

export function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000)
}

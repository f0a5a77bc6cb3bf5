import 'reflect-metadata'
import { createPublicKey, webcrypto } from 'node:crypto'
import { Pkcs10CertificateRequest, type PublicKey, SubjectAlternativeNameExtension } from '@peculiar/x509'
import { badRequest } from './api-error.js'
import type { CsrContent } from './roles.js'

export interface ReadCsr {
  readonly content: CsrContent
  readonly publicKey: PublicKey
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----\s+([A-Za-z0-9+/=\s]+?)\s*-----END \1-----/
const SUBJECT_ALTERNATIVE_NAME = '2.5.29.17'

/** Reads a PEM CSR and checks its signature (proof of possession). Refuses with the real server's messages (400). */
export async function readCsr(pem: string): Promise<ReadCsr> {
  const base64 = BLOCK.exec(pem)?.[2]
  if (base64 === undefined) throw badRequest('Invalid CSR format')
  const csr = parse(Buffer.from(base64, 'base64'))
  if (!(await signatureHolds(csr))) throw badRequest('Invalid CSR signature')
  return { content: contentOf(csr), publicKey: csr.publicKey }
}

function parse(der: Uint8Array): Pkcs10CertificateRequest {
  try {
    return new Pkcs10CertificateRequest(der)
  } catch {
    throw badRequest('Failed to parse CSR')
  }
}

async function signatureHolds(csr: Pkcs10CertificateRequest): Promise<boolean> {
  try {
    return await csr.verify(webcrypto)
  } catch {
    // An unknown algorithm cannot be verified.
    return false
  }
}

function contentOf(csr: Pkcs10CertificateRequest): CsrContent {
  const key = createPublicKey({ key: Buffer.from(csr.publicKey.rawData), format: 'der', type: 'spki' })
  const extension = csr.getExtension(SUBJECT_ALTERNATIVE_NAME)
  const names = extension instanceof SubjectAlternativeNameExtension ? extension.names.items : []
  const of = (type: string) => names.filter((name) => name.type === type).map((name) => name.value)
  return {
    keyType: key.asymmetricKeyType === 'rsa' ? 'rsa' : 'other',
    keyBits: key.asymmetricKeyDetails?.modulusLength ?? 0,
    commonName: csr.subjectName.getField('CN')[0] ?? '',
    dnsNames: of('dns'),
    emails: of('email'),
    ipAddresses: of('ip'),
    uris: of('url'),
  }
}

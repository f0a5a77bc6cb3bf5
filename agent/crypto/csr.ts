import 'reflect-metadata'
import { createPublicKey, type KeyObject } from 'node:crypto'
import { Name, Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509'
import { pkcs8Der } from './keys.js'
import { webcrypto } from './webcrypto.js'

const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }

export interface CsrOptions {
  /** RSA, 2048 bits or more: the server's roles refuse other kinds. */
  readonly key: KeyObject
  /** The SPIFFE ID that the certificate is to carry. */
  readonly uri: string
  /** Empty for an empty subject. */
  readonly commonName: string
}

/**
 * A PKCS#10 request in PEM with exactly one subject alternative name, the URI (X509-SVID 2), signed with RSA SHA-256.
 * With an empty subject that extension is critical (X509-SVID 3.1, RFC 5280 4.2.1.6).
 */
export async function createCsr(options: CsrOptions): Promise<string> {
  const { key, uri, commonName } = options
  if (key.type !== 'private' || key.asymmetricKeyType !== 'rsa') throw new TypeError('a CSR needs a private RSA key')
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  const [privateKey, publicKey] = await Promise.all([
    webcrypto.subtle.importKey('pkcs8', pkcs8Der(key), RSA_SHA256, false, ['sign']),
    webcrypto.subtle.importKey('spki', spki, RSA_SHA256, true, ['verify']),
  ])
  const request = await Pkcs10CertificateRequestGenerator.create(
    {
      // Not as a string: a comma in the name would begin another attribute.
      name: new Name(commonName === '' ? [] : [{ CN: [{ utf8String: commonName }] }]),
      keys: { privateKey, publicKey },
      signingAlgorithm: RSA_SHA256,
      extensions: [new SubjectAlternativeNameExtension([{ type: 'url', value: uri }], commonName === '')],
    },
    webcrypto,
  )
  return `${request.toString('pem')}\n`
}

import 'reflect-metadata'
import { createPublicKey } from 'node:crypto'
import { Name, Pkcs10CertificateRequestGenerator, SubjectAlternativeNameExtension } from '@peculiar/x509'
import type { CsrOptions } from './csr.js'
import { pkcs8Der } from './keys.js'
import { webcrypto } from './webcrypto.js'

const RSA_SHA256 = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }

/** For `csr.ts`, which loads this module on demand. */
export async function signedRequest(options: CsrOptions): Promise<string> {
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

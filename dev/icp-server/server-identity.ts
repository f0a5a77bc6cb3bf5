import { isIP } from 'node:net'
import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { PublicKey } from '@peculiar/x509'
import { exportKey, type Issuer, makeIssuer, P256, restoreIssuer, type SavedIssuer } from './issuer.js'
import { signCertificate } from './sign-certificate.js'

/** The server's own TLS key and certificate, in PEM. */
export interface ServerIdentity {
  readonly key: string
  readonly certificate: string
}

/** TLS clients use the machine's clock, whatever clock the server has. */
const ALWAYS = { notBefore: Date.UTC(2000, 0), notAfter: Date.UTC(2049, 0) }

/** The CA of the server's TLS certificate, not the one that issues SVIDs. */
export async function openServerCa(saved: SavedIssuer | null): Promise<Issuer> {
  return saved ? await restoreIssuer(saved, P256) : await makeIssuer('Development ICP server CA', P256, ALWAYS)
}

/** A new key and a certificate for localhost, 127.0.0.1, ::1 and the listening address. */
export async function makeServerIdentity(ca: Issuer, host: string, exposed: string | null): Promise<ServerIdentity> {
  const names = [...new Set(['localhost', '127.0.0.1', '::1', host, ...(exposed === null ? [] : [exposed])])]
  const keys = await webcrypto.subtle.generateKey(P256, true, ['sign', 'verify'])
  const signed = await signCertificate(ca, {
    ...ALWAYS,
    names: {
      commonName: 'localhost',
      dnsNames: names.filter((name) => isIP(name) === 0),
      ipAddresses: names.filter((name) => isIP(name) !== 0),
      emails: [],
      uris: [],
    },
    publicKey: await PublicKey.create(keys.publicKey, webcrypto),
    ca: false,
    basicConstraints: true,
    digitalSignature: true,
  })
  return { key: await exportKey(keys.privateKey), certificate: signed.pem }
}

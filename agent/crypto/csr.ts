import type { KeyObject } from 'node:crypto'

export interface CsrOptions {
  /** RSA of at least 2048 bits: the server's roles refuse other kinds. */
  readonly key: KeyObject
  /** The SPIFFE ID for the certificate. */
  readonly uri: string
  /** Empty for an empty subject. */
  readonly commonName: string
}

/**
 * A PKCS#10 request in PEM with exactly one subject alternative name, the URI (X509-SVID 2), signed with RSA SHA-256.
 * With an empty subject that extension is critical (X509-SVID 3.1, RFC 5280 4.2.1.6).
 */
export async function createCsr(options: CsrOptions): Promise<string> {
  // The library takes 30 ms and 4 MB to load, and an agent whose SVIDs are in its cache starts without it.
  const { signedRequest } = await import('./pkcs10.js')
  return await signedRequest(options)
}

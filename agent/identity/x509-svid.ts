import type { Secret } from '../crypto/secret.js'
import type { SpiffeId } from './spiffe-id.js'

/** An X.509-SVID that was verified when it was received (verify-svid.ts); never constructed otherwise. */
export interface X509Svid {
  readonly spiffeId: SpiffeId
  /** DER, leaf first, intermediates after; no trust anchor. */
  readonly chain: readonly Uint8Array[]
  /** PKCS#8 DER. */
  readonly privateKey: Secret<Uint8Array>
  /** Lower-case hex pairs joined by colons (the form in which the server revokes). */
  readonly serial: string
  readonly notBefore: number
  readonly notAfter: number
  /** Whether the leaf has the BasicConstraints extension. Without it the leaf is not a CA either, but some clients require it. */
  readonly hasBasicConstraints: boolean
  /** Fingerprint of the authority that it chains to. */
  readonly authority: string
}

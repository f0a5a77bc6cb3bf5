import { createPublicKey, type KeyObject } from 'node:crypto'
import { parseCertificate } from '../crypto/certificate.js'
import type { Secret } from '../crypto/secret.js'

/**
 * The key that the certificate is for: ours, or one that the oldest servers make themselves and send along. Whatever
 * else they send is left aside; whether ours is the certificate's is for the verification to say. `chain`: DER, leaf
 * first. Throws `svid.invalid` for a leaf that is no certificate.
 */
export function certifiedKey(
  chain: readonly Uint8Array[],
  own: Secret<KeyObject>,
  sent: Secret<KeyObject> | undefined,
): Secret<KeyObject> {
  const [leaf] = chain
  if (!leaf || !sent) return own
  return createPublicKey(sent.reveal()).equals(parseCertificate(leaf).publicKey) ? sent : own
}

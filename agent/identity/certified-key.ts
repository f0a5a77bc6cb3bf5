import { createPublicKey, type KeyObject } from 'node:crypto'
import { parseCertificate } from '../crypto/certificate.js'
import type { Secret } from '../crypto/secret.js'

/**
 * The private key of the certificate: ours, or one that the oldest servers create and send. A sent key that does not fit is
 * ignored; the verification later checks whether ours fits. `chain`: DER, leaf first. Throws `svid.invalid` if the leaf is
 * not a certificate.
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

import { booleanOf, DerReader, isPadded, malformed, TAG } from './der.js'

const MAX_DEPTH = 32
const CONSTRUCTED = 0x20

/**
 * Rejects encodings that BER allows and DER forbids (X.690 10, 11) at any depth, also in names and keys that the agent does
 * not read: lengths that are not the shortest, padded integers, other values of TRUE. So a certificate has only one
 * encoding. Throws `svid.invalid`.
 */
export function demandDer(bytes: Uint8Array, depth = MAX_DEPTH): void {
  if (depth === 0) throw malformed('elements are nested too deeply')
  for (const { tag, content } of new DerReader(bytes).rest()) {
    if ((tag & CONSTRUCTED) !== 0) demandDer(content, depth - 1)
    else if (tag === TAG.boolean) booleanOf(content)
    else if (tag === TAG.integer && isPadded(content)) throw malformed('an INTEGER has padding')
  }
}

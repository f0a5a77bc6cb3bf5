import { booleanOf, DerReader, isPadded, malformed, TAG } from './der.js'

const MAX_DEPTH = 32
const CONSTRUCTED = 0x20

/**
 * Refuses what DER forbids and readers of BER take (X.690 10, 11), however deep it stands, in names and keys that the
 * agent itself does not look into: lengths that are not the shortest, integers with padding, truth of many forms. One
 * certificate has one form only. Throws `svid.invalid`.
 */
export function demandDer(bytes: Uint8Array, depth = MAX_DEPTH): void {
  if (depth === 0) throw malformed('elements nested too deeply')
  for (const { tag, content } of new DerReader(bytes).rest()) {
    if ((tag & CONSTRUCTED) !== 0) demandDer(content, depth - 1)
    else if (tag === TAG.boolean) booleanOf(content)
    else if (tag === TAG.integer && isPadded(content)) throw malformed('an integer with padding')
  }
}

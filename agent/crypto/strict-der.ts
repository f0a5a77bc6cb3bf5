import { booleanOf, DerReader, malformed, TAG } from './der.js'

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

/** X.690 8.3.2: the first nine bits are neither all zero nor all one. */
function isPadded([first, second]: Uint8Array): boolean {
  if (second === undefined) return first === undefined
  return (first === 0x00 && second < 0x80) || (first === 0xff && second >= 0x80)
}

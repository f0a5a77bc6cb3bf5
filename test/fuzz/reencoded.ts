import fc from 'fast-check'
import { DerReader, TAG } from '../../agent/crypto/der.js'
import { der } from '../fakes/der.js'
import { fraction } from './mutations.js'

/**
 * One change to the structure of DER: what mutations of bytes seldom hit, for they do not mend the lengths around them.
 * `same` ones say the same in another form, which BER readers take and DER forbids.
 */
type Change =
  | { readonly kind: 'long length' | 'truth of one' | 'padded integer'; readonly same: true }
  | { readonly kind: 'drop' | 'repeat' | 'empty'; readonly same: false }
  | { readonly kind: 'content'; readonly same: false; readonly content: Uint8Array }
  | { readonly kind: 'time'; readonly same: false; readonly digits: readonly number[] }

const digits = fc.tuple(...[99, 13, 32, 24, 60, 60].map((max) => fc.nat(max)))
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.constantFrom<Change>(
    { kind: 'long length', same: true },
    { kind: 'truth of one', same: true },
    { kind: 'padded integer', same: true },
    { kind: 'drop', same: false },
    { kind: 'repeat', same: false },
    { kind: 'empty', same: false },
  ),
  fc.record({
    kind: fc.constant('content' as const),
    same: fc.constant(false as const),
    content: fc.uint8Array({ maxLength: 6 }),
  }),
  fc.record({ kind: fc.constant('time' as const), same: fc.constant(false as const), digits }),
)

/** A change, and which of the elements that it fits is changed, as a fraction. */
export const reencodings = fc.record({ change, at: fraction })
type Reencoding = { readonly change: Change; readonly at: number }

/** The certificate with one element encoded otherwise, every length around it right; null where none fits the change. */
export function reencoded(original: Uint8Array, { change: how, at }: Reencoding): Buffer | null {
  const count = fitting(original, how)
  if (count === 0) return null
  let left = Math.floor(at * count)
  const encode = (bytes: Uint8Array): Buffer => {
    const parts = [...new DerReader(bytes).rest()].flatMap(({ tag, content }) => {
      const hit = fits(tag, content, how) && left-- === 0
      if (hit) return changed(tag, content, how)
      return [isConstructed(tag) ? der(tag, encode(content)) : der(tag, content)]
    })
    return Buffer.concat(parts)
  }
  return encode(original)
}

function fitting(bytes: Uint8Array, how: Change): number {
  let count = 0
  for (const { tag, content } of new DerReader(bytes).rest()) {
    if (fits(tag, content, how)) count++
    if (isConstructed(tag)) count += fitting(content, how)
  }
  return count
}

const isConstructed = (tag: number) => (tag & 0x20) !== 0

function fits(tag: number, content: Uint8Array, { kind }: Change): boolean {
  if (kind === 'truth of one') return tag === TAG.boolean
  if (kind === 'padded integer') return tag === TAG.integer && ((content[0] ?? 0x80) & 0x80) === 0
  if (kind === 'time') return tag === TAG.utcTime
  return true
}

function changed(tag: number, content: Uint8Array, how: Change): Buffer[] {
  switch (how.kind) {
    case 'long length': {
      const { length } = content
      return [Buffer.concat([Buffer.of(tag, 0x84, 0, 0, length >> 8, length & 0xff), content])]
    }
    case 'truth of one':
      return [der(tag, Buffer.of(0x01))]
    case 'padded integer':
      return [der(tag, Buffer.of(0), content)]
    case 'drop':
      return []
    case 'repeat':
      return [der(tag, content), der(tag, content)]
    case 'empty':
      return [der(tag)]
    case 'content':
      return [der(tag, how.content)]
    case 'time':
      return [der(tag, Buffer.from(`${how.digits.map((part) => String(part).padStart(2, '0')).join('')}Z`))]
  }
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SpiffeId } from '../../agent/identity/spiffe-id.js'
import { always } from './fuzz.js'
import { mutatedText, mutations } from './mutations.js'

/** The grammar of SPIFFE-ID 2 in one expression, written apart from the parser. */
const GRAMMAR = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))[A-Za-z0-9._-]+)*$/
const isValid = (text: string) => Buffer.byteLength(text) <= 2048 && GRAMMAR.test(text) && !text.includes('\n')

const name = fc.string({ unit: fc.constantFrom(...'abz09._-'), minLength: 1, maxLength: 260 })
const segment = fc.string({ unit: fc.constantFrom(...'aZ09._-'), minLength: 1, maxLength: 40 })
const near = fc.string({ unit: fc.constantFrom(...'spife:/.-_%?#@[]aZ9é \n\0'), maxLength: 60 })
const built = fc
  .tuple(name, fc.array(segment, { maxLength: 80 }))
  .map(([trustDomain, segments]) => ['spiffe:/', trustDomain, ...segments].join('/'))
/** As long as may be, and one more: a trust domain of 255 characters, an ID of 2048. */
const limits = fc.oneof(
  fc.integer({ min: 253, max: 258 }).map((length) => `spiffe://${'a'.repeat(length)}/b`),
  fc
    .tuple(built, fc.integer({ min: 2045, max: 2051 }))
    .map(([text, length]) => `${text.slice(0, 1_000)}/`.padEnd(length, 'x')),
)
const texts = fc.oneof(
  limits,
  fc.string(),
  fc.string({ unit: 'binary' }),
  near,
  near.map((text) => `spiffe://${text}`),
  built,
  fc.tuple(built, mutations).map(([text, changes]) => mutatedText(text, changes)),
)

describe('any text', () => {
  test('is a SPIFFE ID exactly when the grammar says so', () => {
    always(20_000, texts, (text) => {
      const id = SpiffeId.tryParse(text)
      expect(id instanceof SpiffeId).toBe(isValid(text))
    })
  })

  test('comes out as it went in, or with a short reason', () => {
    always(5_000, texts, (text) => {
      const id = SpiffeId.tryParse(text)
      if (typeof id === 'string') {
        expect(id.length).toBeLessThan(120)
      } else {
        expect(id.uri).toBe(text)
        expect(`spiffe://${id.trustDomain}${id.path}`).toBe(text)
        expect(SpiffeId.parse(id.uri).equals(id)).toBe(true)
        const longer = SpiffeId.tryParse(`${text}x`)
        if (typeof longer !== 'string') expect(id.equals(longer)).toBe(false)
      }
    })
  })
})

test('a long text is refused at once', () => {
  const texts = ['spiffe://'.padEnd(1_000_000, 'a'), 'spiffe://td'.padEnd(1_000_000, '/a'), 'spiffe:/'.repeat(100_000)]
  for (const text of texts) expect(SpiffeId.tryParse(text)).toBeTypeOf('string')
})

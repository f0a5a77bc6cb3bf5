import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AuthorityRewriter, mayNamePath } from '../../agent/workload-api/authority-rewriter.js'
import { decodeMessage, encodeCall } from '../../attestors/systemd/dbus-message.js'
import { always, alwaysAsync } from './fuzz.js'
import { callHeaders, frame, PREFACE, TYPE } from './http2.js'
import { mutated, mutations } from './mutations.js'

const block = callHeaders('FetchX509SVID', [['x-pad', 'y']])
const streams = fc.oneof(
  mutations.map((changes) => Buffer.concat([PREFACE, frame(4, 0, 0), frame(1, 5, 1, mutated(block, changes))])),
  fc
    .array(fc.tuple(fc.nat(12), fc.nat(255), fc.nat(9), fc.uint8Array({ maxLength: 80 })), { maxLength: 8 })
    .map((all) =>
      Buffer.concat([PREFACE, ...all.map(([type, flags, id, payload]) => frame(type, flags, id, payload))]),
    ),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.concat([PREFACE, bytes])),
)

/** An integer with a prefix (RFC 7541 5.1), after bits that say what it is. */
function integer(pattern: number, bits: number, value: number): Buffer {
  const full = 2 ** bits - 1
  if (value < full) return Buffer.of(pattern | value)
  const octets = [pattern | full]
  let rest = value - full
  for (; rest >= 128; rest = Math.floor(rest / 128)) octets.push((rest % 128) + 128)
  return Buffer.from([...octets, rest])
}
const string = (text: string) => Buffer.concat([integer(0, 7, text.length), Buffer.from(text, 'latin1')])
/** Huffman-coded, as far as anybody sees who does not decode it. */
const coded = (bytes: Uint8Array) => Buffer.concat([integer(0x80, 7, bytes.length), bytes])

type Field = (authority: string) => Buffer
const value = fc.oneof(
  fc.string({ unit: fc.constantFrom(...'a/\\ .'), maxLength: 400, size: 'max' }).map(string),
  fc.uint8Array({ maxLength: 400, size: 'max' }).map(coded),
)
const literal = fc.constantFrom([0x40, 6], [0x00, 4], [0x10, 4])
const field: fc.Arbitrary<Field> = fc.oneof(
  fc.integer({ min: 1, max: 300 }).map((index) => () => integer(0x80, 7, index)),
  fc.nat(70_000).map((size) => () => integer(0x20, 5, size)),
  fc.tuple(literal, fc.integer({ min: 2, max: 300 }), value).map(
    ([[pattern = 0, bits = 0], index, text]) =>
      () =>
        Buffer.concat([integer(pattern, bits, index), text]),
  ),
  fc.tuple(literal, value, value).map(
    ([[pattern = 0], name, text]) =>
      () =>
        Buffer.concat([Buffer.of(pattern), name, text]),
  ),
  // Nobody looks into codes: the authority stays what it is.
  fc.tuple(literal, fc.uint8Array({ maxLength: 40 })).map(
    ([[pattern = 0, bits = 0], bytes]) =>
      () =>
        Buffer.concat([integer(pattern, bits, 1), coded(bytes)]),
  ),
  literal.map(
    ([pattern = 0, bits = 0]) =>
      (authority: string) =>
        Buffer.concat([integer(pattern, bits, 1), string(authority)]),
  ),
)
/** What would begin a field, were it taken for a part of the block. */
const PRIORITY = Buffer.from([0x41, 0x7f, 0, 0, 16])
/** How a header block is cut into frames, and what stands around it in the first. */
const shape = fc.record({
  cuts: fc.array(fc.nat(400), { maxLength: 3 }),
  padding: fc.option(fc.nat(40), { nil: null }),
  priority: fc.boolean(),
  body: fc.uint8Array({ maxLength: 40 }),
})
/** Requests that are the same but for their authorities, which are of one length. */
const requests = fc
  .array(fc.tuple(fc.array(field, { maxLength: 6 }), shape), { minLength: 1, maxLength: 4 })
  .map((all) => (authority: string) => {
    const frames = all.flatMap(([fields, { cuts, padding, priority, body }], i) => {
      const id = 2 * i + 1
      const whole = Buffer.concat(fields.map((make) => make(authority)))
      const ends = [...cuts.map((cut) => cut % (whole.length + 1)).sort((a, b) => a - b), whole.length]
      const [first = whole, ...rest] = ends.map((end, n) => whole.subarray(n === 0 ? 0 : ends[n - 1], end))
      const before = [...(padding === null ? [] : [Buffer.of(padding)]), ...(priority ? [PRIORITY] : [])]
      const after = Buffer.alloc(padding ?? 0, '/')
      const flags = (padding === null ? 0 : 0x08) | (priority ? 0x20 : 0) | (rest.length === 0 ? 4 : 0)
      return [
        frame(TYPE.headers, flags, id, Buffer.concat([...before, first, after])),
        ...rest.map((part, n) => frame(TYPE.continuation, n === rest.length - 1 ? 4 : 0, id, part)),
        frame(TYPE.data, 1, id, body),
      ]
    })
    return Buffer.concat([PREFACE, frame(TYPE.settings, 0, 0), ...frames])
  })

/** What comes out when the bytes arrive in these pieces. */
async function rewritten(bytes: Buffer, cuts: readonly number[]): Promise<Buffer> {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length]
  const rewriter = new AuthorityRewriter()
  const out: Buffer[] = []
  rewriter.on('data', (chunk: Buffer) => out.push(chunk))
  for (const [i, end] of places.slice(1).entries()) rewriter.write(Buffer.from(bytes.subarray(places[i], end)))
  rewriter.end()
  await new Promise((resolve) => rewriter.once('end', resolve))
  return Buffer.concat(out)
}

describe('what a client sends over HTTP/2', () => {
  test('keeps its length, changes only to dots, and the same however the pieces fall', async () => {
    await alwaysAsync(1_500, fc.tuple(streams, fc.array(fc.nat(400), { maxLength: 6 })), async ([bytes, cuts]) => {
      const whole = await rewritten(bytes, [])
      expect(await rewritten(bytes, cuts)).toEqual(whole)
      expect(whole.length).toBe(bytes.length)
      for (const [i, octet] of whole.entries()) if (octet !== bytes[i]) expect(octet).toBe(0x2e)
      // Twice is the same as once: what is put in is itself fit to stand there.
      expect(await rewritten(whole, [])).toEqual(whole)
    })
  })

  test('loses what cannot stand in an authority, wherever that is, and nothing else', async () => {
    await alwaysAsync(600, fc.tuple(requests, fc.array(fc.nat(2_000), { maxLength: 8 })), async ([make, cuts]) => {
      expect(await rewritten(make('/run/a b/x'), cuts)).toEqual(make('.run.a.b.x'))
    })
  })

  test('is looked at only until it is known how it begins', () => {
    always(5_000, fc.tuple(streams, fc.nat(300)), ([bytes, length]) => {
      const begin = bytes.subarray(0, length)
      const known = mayNamePath(begin)
      if (known !== null) expect(mayNamePath(bytes)).toBe(known)
    })
  })
})

describe('a message of D-Bus', () => {
  const call = { serial: 7, destination: 'a.b', path: '/a/b', interface: 'a.b.C', member: 'Get', args: ['unit', 'Id'] }
  const original = encodeCall(call)
  const messages = fc.oneof(
    mutations.map((changes) => mutated(original, changes)),
    fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.from(bytes)),
    fc.uint8Array({ maxLength: 120 }).map((bytes) => Buffer.concat([Buffer.from('6c020001', 'hex'), bytes])),
  )

  test('is read, incomplete, or refused', () => {
    always(10_000, messages, (bytes) => {
      try {
        const found = decodeMessage(bytes)
        if (!found) return
        expect(found.bytes).toBeGreaterThan(0)
        expect(found.bytes).toBeLessThanOrEqual(bytes.length)
      } catch (error) {
        expect(error).toBeInstanceOf(RangeError)
      }
    })
  })

  test('that is cut is never more than incomplete', () => {
    for (let length = 0; length < original.length; length++) {
      expect(decodeMessage(original.subarray(0, length))).toBeNull()
    }
    expect(decodeMessage(original)?.bytes).toBe(original.length)
  })
})

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AuthorityRewriter, mayNamePath } from '../../agent/workload-api/authority-rewriter.js'
import { decodeMessage, encodeCall } from '../../attestors/systemd/dbus-message.js'
import { always, alwaysAsync } from './fuzz.js'
import { callHeaders, frame, PREFACE } from './http2.js'
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

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type DbusMessage, decodeMessage, encodeCall } from '../../../../attestors/systemd/dbus-message.js'
import { RECORDED } from './recorded-bus.js'

function messagesOf(buffer: Buffer): DbusMessage[] {
  const next = decodeMessage(buffer)
  return next ? [next.message, ...messagesOf(buffer.subarray(next.bytes))] : []
}

describe('messages of D-Bus', () => {
  it('of a real bus are read: the answer to Hello, a signal, a value, two errors', () => {
    const error = (replyTo: number, name: string) => ({
      type: 'error',
      replyTo,
      value: null,
      error: `org.freedesktop.DBus.Error.${name}`,
    })
    expect(messagesOf(RECORDED)).toEqual([
      { type: 'reply', replyTo: 1, value: ':1.1119', error: null },
      { type: 'other', replyTo: 0, value: null, error: null },
      { type: 'reply', replyTo: 2, value: '/etc/systemd/system/plain.service', error: null },
      error(3, 'UnknownProperty'),
      error(4, 'UnknownObject'),
    ])
  })

  it('are read however they are cut into pieces', () => {
    for (let cut = 0; cut < RECORDED.length; cut++) {
      const before = messagesOf(RECORDED.subarray(0, cut))
      expect(before.length).toBeLessThan(5)
      expect(messagesOf(RECORDED).slice(0, before.length)).toEqual(before)
    }
  })

  it('in the other byte order are read, too', () => {
    const parts = [
      '42020001 0000000c 00000007 0000000f',
      '05017500 00000002',
      '08016700 017600 00',
      '017300 00 00000003 61626300',
    ]
    const message = Buffer.from(parts.join('').replaceAll(' ', ''), 'hex')
    expect(decodeMessage(message)).toEqual({
      bytes: message.length,
      message: { type: 'reply', replyTo: 2, value: 'abc', error: null },
    })
  })

  it('a call is laid out as the specification has it', () => {
    const call = encodeCall({
      serial: 2,
      destination: 'a.b',
      path: '/x',
      interface: 'c.d',
      member: 'Get',
      args: ['é', ''],
    })
    expect(call.subarray(0, 16).toString('hex')).toBe('6c0100010d0000000200000048000000')
    // Fields are aligned at 8 bytes, and so is the body: two strings, each with its length in bytes.
    expect(call.subarray(16, 32).toString('latin1')).toBe('\x01\x01o\0\x02\0\0\0/x\0\0\0\0\0\0')
    expect(call.subarray(-13).toString('hex')).toBe('02000000c3a900000000000000')
    expect((call.length - 13) % 8).toBe(0)
  })

  it('what is no message is a RangeError, never anything else, and is done with at once', () => {
    const bytes = fc.uint8Array({ minLength: 16, maxLength: 200 })
    fc.assert(
      fc.property(bytes, fc.constantFrom(0x6c, 0x42), (noise, order) => {
        try {
          decodeMessage(Buffer.from([order, ...noise]))
        } catch (error) {
          expect(error).toBeInstanceOf(RangeError)
        }
      }),
      { numRuns: 2000 },
    )
    expect(() => decodeMessage(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))).toThrow(RangeError)
  })

  it('a message that announces more than 64 KiB is refused before it is there', () => {
    const huge = Buffer.alloc(16)
    huge[0] = 0x6c
    huge.writeUInt32LE(1_000_000, 4)
    expect(() => decodeMessage(huge)).toThrow(RangeError)
  })
})

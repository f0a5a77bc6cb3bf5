import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type BoxContext, open, seal } from '../../../agent/crypto/sealed-box.js'
import { Secret } from '../../../agent/crypto/secret.js'
import { codeOf } from '../../../agent/errors.js'

const key = new Secret(new Uint8Array(randomBytes(32)))
const context: BoxContext = { account: 'account', nodeId: 'node', purpose: 'svid' }
const plaintext = Buffer.from('the private key of a workload')
const openedOr = (box: Uint8Array, withKey = key, as: BoxContext = context) => {
  try {
    return open(withKey, box, as).toString()
  } catch (error) {
    return codeOf(error)
  }
}

describe('a sealed box', () => {
  it('opens for the key and the context it was sealed with', () => {
    expect(openedOr(seal(key, plaintext, context))).toBe(plaintext.toString())
    expect(openedOr(seal(key, new Uint8Array(), context))).toBe('')
  })

  it('never looks the same twice and never shows its content', () => {
    const [a, b] = [seal(key, plaintext, context), seal(key, plaintext, context)]
    expect(a.equals(b)).toBe(false)
    expect(a.includes('private')).toBe(false)
  })

  it.each([
    ['another account', { ...context, account: 'other' }],
    ['another node', { ...context, nodeId: 'other' }],
    ['another purpose', { ...context, purpose: 'entries' }],
    ['fields that run together alike', { account: 'accountn', nodeId: 'ode', purpose: 'svid' }],
  ])('does not open for %s', (_name, other) => {
    expect(openedOr(seal(key, plaintext, context), key, other)).toBe('cache.rejected')
  })

  it('does not open with another key', () => {
    expect(openedOr(seal(key, plaintext, context), new Secret(new Uint8Array(32)))).toBe('cache.rejected')
  })

  it('does not open when any byte was changed, or when it was cut', () => {
    const box = seal(key, plaintext, context)
    for (let i = 0; i < box.length; i++) {
      const changed = Buffer.from(box)
      changed[i] = (changed[i] ?? 0) ^ 1
      expect(openedOr(changed)).toBe('cache.rejected')
      expect(openedOr(box.subarray(0, i))).toBe('cache.rejected')
    }
  })

  it('wants a key of 32 bytes', () => {
    expect(() => seal(new Secret(new Uint8Array(16)), plaintext, context)).toThrow(TypeError)
  })

  it('holds at most 64 MiB: how much there is to seal is for the server to say, and no mistake of ours', () => {
    const large = new Uint8Array(64 * 1_048_576 + 1)
    expect(() => seal(key, large, context)).toThrow(expect.objectContaining({ code: 'file.too_large' }))
  })
})

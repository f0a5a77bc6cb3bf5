import { generateKeyPairSync } from 'node:crypto'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError } from '../../../agent/errors.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { boundedText, loggable } from '../../../agent/platform/log-value.js'

const plain = (value: unknown, stacks = false) => loggable({ value }, { stacks })['value']

test.each<[string, unknown, unknown]>([
  ['a text', 'text', 'text'],
  ['a number', 1.5, 1.5],
  ['a number that JSON has not', Number.NaN, 'NaN'],
  ['a bigint', 2n ** 70n, '1180591620717411303424'],
  ['null', null, null],
  ['a date', new Date(0), '1970-01-01T00:00:00.000Z'],
  ['an invalid date', new Date(Number.NaN), 'invalid date'],
  ['bytes', new Uint8Array(300), '[300 bytes]'],
  ['a function', () => 1, '[function]'],
  ['a set', new Set(['a', 'b']), ['a', 'b']],
  ['a map', new Map([['a', 1n]]), { a: '1' }],
  ['a SPIFFE ID', SpiffeId.parse('spiffe://a.b/c'), 'spiffe://a.b/c'],
  ['a secret', new Secret('hunter2'), '[redacted]'],
  ['a secret deep inside', { a: [{ b: new Secret('hunter2') }] }, { a: [{ b: '[redacted]' }] }],
  ['a key object', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey, '[PrivateKeyObject]'],
  ['a list with a hole', [undefined, 1], [null, 1]],
])('%s becomes plain JSON', (_, value, expected) => {
  expect(plain(value)).toEqual(expected)
})

test('an undefined field is left out', () => {
  expect(loggable({ a: undefined, b: 1 }, { stacks: false })).toEqual({ b: 1 })
})

test('a field named like a part of every line is renamed', () => {
  expect(loggable({ level: 'x', event: 'y' }, { stacks: false })).toEqual({ field_level: 'x', field_event: 'y' })
})

test('an error shows its code, message, causes and details, and no stack', () => {
  const system = Object.assign(new Error('connect refused'), { code: 'ECONNREFUSED' })
  const error = new AgentError('icp.unreachable', 'no answer', { cause: system, details: { address: 'a' } })
  expect(plain(error)).toEqual({
    code: 'icp.unreachable',
    message: 'no answer',
    causes: ['ECONNREFUSED: connect refused'],
    details: { address: 'a' },
  })
})

test('a cause without a code is told in its words, and not as a defect', () => {
  const cause = Object.assign(new Error('no such socket'), { name: 'HttpError' })
  const error = new AgentError('platform.unavailable', 'the engine does not answer', { cause })
  expect(plain(error)).toMatchObject({ causes: ['HttpError: no such socket'] })
})

test('the stack is shown where stacks are asked for', () => {
  expect(plain(new TypeError('x'), true)).toMatchObject({
    code: 'internal',
    stack: expect.stringContaining('TypeError'),
  })
})

test('the members of an aggregate and a circle of causes are bounded', () => {
  const error = new AggregateError([new Error('one'), new Error('two')], 'both')
  error.cause = error
  expect((plain(error) as { causes: string[] }).causes).toHaveLength(5)
})

test('details that hold a secret do not show it', () => {
  const error = Object.assign(new AgentError('internal', 'x'), { details: { token: new Secret('hunter2') } })
  expect(JSON.stringify(plain(error))).not.toContain('hunter2')
})

test.each([
  ['a JWT', 'got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl from there'],
  ['an encrypted JWT', 'got eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl.c2ln.c2ln'],
  ['a bearer credential', 'Authorization: Bearer abc.def-ghi'],
  ['a private key', '-----BEGIN PRIVATE KEY-----\nc2lnbmF0dXJl\n-----END PRIVATE KEY-----'],
  ['a private key that was cut', '-----BEGIN RSA PRIVATE KEY-----\nc2lnbmF0dXJl'],
])('%s in a text is masked', (_, text) => {
  const shown = boundedText(text)
  expect(shown).toContain('[redacted]')
  expect(shown).not.toMatch(/c2ln|def-ghi/)
})

test('a long text is cut and says how long it was', () => {
  const shown = boundedText('x'.repeat(100_000))
  expect(shown.length).toBeLessThan(2100)
  expect(shown).toContain('100000 characters')
})

test('a text of exactly the limit is whole', () => {
  expect(boundedText('x'.repeat(2048))).toBe('x'.repeat(2048))
})

test('a circle and a getter that throws do no harm', () => {
  const circle: Record<string, unknown> = {}
  circle['self'] = circle
  expect(JSON.stringify(plain(circle))).toContain('[deep]')
  const trap = Object.defineProperty({}, 'x', {
    enumerable: true,
    get() {
      throw new Error('no')
    },
  })
  expect(plain(trap)).toBe('[unreadable]')
})

test('a key named __proto__ stays a key', () => {
  expect(JSON.stringify(plain(JSON.parse('{"__proto__":{"a":1}}')))).toBe('{"__proto__":{"a":1}}')
})

test('no value makes a line longer than 100 KB, and every line can be written as JSON', () => {
  const wide = (depth: number): unknown =>
    depth === 0
      ? 'x'.repeat(5000)
      : Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`k${i}`, wide(depth - 1)]))
  expect(JSON.stringify(plain(wide(3))).length).toBeLessThan(100_000)
  fc.assert(
    fc.property(fc.anything({ withBigInt: true, withMap: true, withSet: true, withTypedArray: true }), (value) => {
      expect(JSON.stringify(loggable({ value }, { stacks: false })).length).toBeLessThan(100_000)
    }),
    { seed: 1, numRuns: 300 },
  )
})

import { createSign, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { expect, test } from 'vitest'
import { DefectReader } from './defects.js'
import type { Sample } from './samples.js'
import { Starvation } from './starvation.js'
import { growths } from './steadiness.js'
import { checkToken } from './token-check.js'
import { Withdrawals } from './withdrawals.js'

const ID = 'spiffe://td/user/1/base'
const NOW = 1_800_000_000_000

function token(key: KeyObject, claims: object): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const signed = `${part({ alg: 'RS256' })}.${part({ sub: ID, aud: ['a'], exp: NOW / 1000 + 60, ...claims })}`
  return `${signed}.${createSign('RSA-SHA256').update(signed).sign(key).toString('base64url')}`
}

test('a JWT-SVID must be of the identity, for the audience, valid, and of a key of its trust domain', () => {
  const ours = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const jwks = Buffer.from(JSON.stringify({ keys: [ours.publicKey.export({ format: 'jwk' })] }))
  const expected = { spiffeId: ID, audience: 'a', bundles: new Map([['spiffe://td', jwks]]), now: NOW }
  const wrong = (made: string, more: object = {}) => checkToken(made, { ...expected, ...more }).violations.length

  expect(checkToken(token(ours.privateKey, {}), expected)).toEqual({ violations: [], expiresAt: NOW + 60_000 })
  expect(wrong(token(ours.privateKey, { sub: 'spiffe://td/user/2/base' }))).toBe(1)
  expect(wrong(token(ours.privateKey, { aud: 'b' }))).toBe(1)
  expect(wrong(token(ours.privateKey, { aud: ['a', 'b'] }))).toBe(1)
  expect(wrong(token(ours.privateKey, { exp: NOW / 1000 }))).toBe(1)
  expect(wrong(token(other.privateKey, {}))).toBe(1)
  expect(wrong(token(ours.privateKey, {}), { bundles: new Map([['spiffe://other', jwks]]) })).toBe(1)
  expect(wrong(token(other.privateKey, {}), { bundles: null })).toBe(0)
})

test('an identity counts as left over from its withdrawal until the workload has it no longer', () => {
  const withdrawals = new Withdrawals()
  withdrawals.shows('w', ['base', 'extra'], 10)
  withdrawals.withdrawn('extra', 100)
  withdrawals.shows('w', ['base', 'extra'], 150)
  withdrawals.shows('w', ['base'], 180)
  expect(withdrawals.seen).toEqual({ count: 1, longestMs: 80 })
  expect(withdrawals.undisturbed([])).toMatchObject([{ name: 'w', spiffeId: 'extra', from: 100, to: 180 }])
  // The server was away meanwhile: after it the time begins anew.
  expect(withdrawals.undisturbed([{ from: 140, to: 160 }])).toMatchObject([
    { from: 100, to: 140 },
    { from: 160, to: 180 },
  ])
})

test('an identity that comes back from a cache is left over from then on; one that is granted again is not', () => {
  const withdrawals = new Withdrawals()
  withdrawals.shows('w', ['gone', 'back'], 10)
  withdrawals.withdrawn('gone', 100)
  withdrawals.withdrawn('back', 100)
  withdrawals.shows('w', [], 110)
  withdrawals.shows('w', ['gone', 'back'], 500)
  withdrawals.granted('back', 520)
  withdrawals.close(600)
  expect(withdrawals.undisturbed([]).map(({ spiffeId, from, to }) => [spiffeId, from, to])).toEqual([
    ['gone', 100, 110],
    ['back', 100, 110],
    ['back', 500, 520],
    ['gone', 500, 600],
  ])
})

/** Samples of an hour, with noise of two waves. */
function hour(read: (minute: number) => Partial<Sample>): Sample[] {
  return Array.from({ length: 720 }, (_, i) => {
    const wave = Math.sin(i * 1.7) + Math.sin(i * 0.31)
    return {
      at: NOW + i * 5_000,
      rssKib: 100_000 + 3_000 * wave,
      heapKib: 30_000 + 500 * wave,
      fds: 57 + Math.round(wave),
      ...read(i / 12),
    }
  })
}

test('what only moves has not grown, nor what grew while it warmed up, nor what jumped for a moment', () => {
  expect(growths(hour(() => ({})))).toEqual([])
  expect(growths(hour((minute) => ({ heapKib: minute < 15 ? 10_000 + 1_000 * minute : 25_000 })))).toEqual([])
  expect(growths(hour((minute) => (minute > 58 ? { heapKib: 90_000, fds: 200 } : {})))).toEqual([])
})

test('a heap, a process and descriptors that grow are found', () => {
  expect(growths(hour((minute) => ({ heapKib: 30_000 + 100 * minute })))).toHaveLength(1)
  expect(growths(hour((minute) => ({ rssKib: 100_000 + 800 * minute })))).toHaveLength(1)
  expect(growths(hour((minute) => ({ fds: 57 + Math.floor(minute / 5) })))).toHaveLength(1)
})

test('a run of a few minutes says nothing of growth', () => {
  const grows = hour((minute) => ({ heapKib: 30_000 + 10_000 * minute }))
  expect(growths(grows.slice(0, 36))).toEqual([])
})

test('a defect is found in a log however its lines are cut', () => {
  const reader = new DefectReader()
  expect(reader.read('{"event":"SVID issued"}\n{"event":"Agent fai')).toEqual([])
  expect(reader.read('led"}\n{"code":"icp.unavailable"}\n')).toEqual(['{"event":"Agent failed"}'])
  expect(reader.read('{"reason":"Unhandled rejection"}\n{"code":"internal"}\n')).toHaveLength(2)
})

test('stretches in which a process waited for a processor are starved, and only those of the same process', () => {
  const starvation = new Starvation()
  const sample = (at: number, ...waited: [number, number][]) =>
    starvation.sample(
      at,
      waited.map(([pid, waitedMs]) => ({ pid, waitedMs })),
    )
  sample(0, [1, 0], [2, 0])
  sample(1_000, [1, 100], [2, 200])
  sample(2_000, [1, 100], [2, 900])
  sample(3_000, [1, 500], [2, 900])
  sample(4_000, [1, 500], [3, 5_000])
  sample(5_000, [1, 500], [3, 5_400])
  expect(starvation.spans).toEqual([
    { from: 1_000, to: 3_000 },
    { from: 4_000, to: 5_000 },
  ])
  expect(starvation.seconds).toBe(3)
  expect(starvation.fedMs({ from: 500, to: 4_600 })).toBe(500 + 1_000)
})

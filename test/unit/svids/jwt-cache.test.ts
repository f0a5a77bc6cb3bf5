import { expect, test } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { fresh, JwtCache, type JwtSubject, MAX_AUDIENCE_SETS } from '../../../agent/svids/jwt-cache.js'

const id = (path = '/web') => SpiffeId.parse(`spiffe://td${path}`)
const subject = (audience = 'db', change: Partial<JwtSubject> = {}): JwtSubject => ({
  entryId: 'e1',
  spiffeId: id(),
  audience: [audience],
  ...change,
})
const held = (issuedAt: number, expiresAt: number, spiffeId = id()) => ({
  spiffeId,
  token: new Secret('token'),
  audience: ['a'],
  id: 'one',
  issuedAt,
  expiresAt,
})
const handedOut = { handedOut: true }

test('a token is good until it expires, and fresh until half its life has passed', () => {
  const cache = new JwtCache()
  const token = held(0, 1_000)
  cache.put(subject(), token, 0, handedOut)
  expect(cache.use(subject(), 999)).toBe(token)
  expect(cache.use(subject(), 1_000)).toBeNull()
  expect([fresh(token, 499), fresh(token, 500)]).toEqual([true, false])
})

test('a token is for its set of audiences only', () => {
  const cache = new JwtCache()
  cache.put(subject('db'), held(0, 1_000), 0, handedOut)
  expect(cache.use(subject('queue'), 1)).toBeNull()
})

test('an entry that names another identity now does not serve the token of the one before', () => {
  const cache = new JwtCache()
  cache.put(subject(), held(0, 1_000), 0, handedOut)
  expect(cache.use(subject('db', { spiffeId: id('/admin') }), 1)).toBeNull()
  cache.prune(() => id('/admin'), 1)
  expect(cache.size).toBe(0)
})

test('a token that was handed out is worth a successor from half its life on, one that was not is not', () => {
  const cache = new JwtCache()
  cache.put(subject('used'), held(0, 1_000), 0, handedOut)
  cache.put(subject('idle'), held(0, 1_000), 0, { handedOut: false })
  expect(cache.ageing(499)).toEqual([])
  expect(cache.ageing(500).map(({ audience }) => audience)).toEqual([['used']])
  expect(cache.ageing(1_000)).toEqual([])
  cache.use(subject('idle'), 600)
  expect(cache.ageing(600)).toHaveLength(2)
})

test('a successor that nobody has asked for yet is not worth another', () => {
  const cache = new JwtCache()
  cache.put(subject(), held(0, 1_000), 0, handedOut)
  cache.put(subject(), held(500, 1_500), 500, { handedOut: false })
  expect(cache.ageing(1_100)).toEqual([])
})

test('ageing tokens come soonest expiry first', () => {
  const cache = new JwtCache()
  cache.put(subject('later'), held(0, 2_000), 0, handedOut)
  cache.put(subject('sooner'), held(0, 1_500), 0, handedOut)
  expect(cache.ageing(1_200).map(({ audience }) => audience[0])).toEqual(['sooner', 'later'])
})

test('the next moment at which a token ages is told', () => {
  const cache = new JwtCache()
  expect(cache.nextAgeing(0)).toBe(Number.POSITIVE_INFINITY)
  cache.put(subject('a'), held(0, 2_000), 0, handedOut)
  cache.put(subject('b'), held(0, 1_000), 0, handedOut)
  expect([cache.nextAgeing(0), cache.nextAgeing(500)]).toEqual([500, 1_000])
})

test('an entry has at most 32 sets of audiences: the one unused for longest makes room', () => {
  const cache = new JwtCache()
  for (let i = 0; i < MAX_AUDIENCE_SETS; i++) cache.put(subject(`a${i}`), held(0, 10_000), i, handedOut)
  cache.use(subject('a0'), 100)
  cache.put(subject('new'), held(0, 10_000), 101, handedOut)
  expect(MAX_AUDIENCE_SETS).toBe(32)
  expect(cache.size).toBe(32)
  expect(cache.use(subject('a1'), 102)).toBeNull()
  expect(cache.use(subject('a0'), 102)).not.toBeNull()
})

test('asking for audiences that are never issued takes no room', () => {
  const cache = new JwtCache()
  cache.put(subject(), held(0, 10_000), 0, handedOut)
  for (let i = 0; i < 100; i++) cache.use(subject(`bogus${i}`), i)
  expect(cache.size).toBe(1)
  expect(cache.use(subject(), 100)).not.toBeNull()
})

test('what has expired and entries that are gone are forgotten', () => {
  const cache = new JwtCache()
  cache.put(subject('a'), held(0, 1_000), 0, handedOut)
  cache.put(subject('b'), held(0, 2_000), 0, handedOut)
  cache.put(subject('c', { entryId: 'e2' }), held(0, 2_000), 0, handedOut)
  cache.prune(() => id(), 1_000)
  expect(cache.size).toBe(2)
  cache.prune((entryId) => (entryId === 'e1' ? id() : undefined), 1_000)
  expect(cache.size).toBe(1)
})

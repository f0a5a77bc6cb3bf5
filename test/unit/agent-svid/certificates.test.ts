import { beforeAll, describe, expect, test } from 'vitest'
import type { AgentSvid } from '../../../agent/agent-svid/agent-svid.js'
import {
  accepted,
  adopted,
  type Certificates,
  isFresh,
  madeInactive,
  NO_CERTIFICATES,
  olderEndsAt,
  presentable,
  refused,
  tokenSeen,
  tokenSpent,
  withoutOlder,
} from '../../../agent/agent-svid/certificates.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { World } from './world.js'

const MINUTE = 60_000
let now = 0
let one: AgentSvid
let two: AgentSvid

/** Two certificates of one agent, as serial numbers tell them. */
beforeAll(async () => {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  const identity = (await world.attested()).current()
  if (!identity) throw new TypeError('no identity')
  now = world.clock.now()
  one = { ...identity, serial: 'one', tokenDigest: 'first-token' }
  two = { ...identity, serial: 'two', notAfter: identity.notAfter + 30 * MINUTE, tokenDigest: 'first-token' }
})

const both = () => adopted(adopted(NO_CERTIFICATES, one), two)
const order = (certificates: Certificates) => presentable(certificates, now).map(({ serial }) => serial)

describe('which certificate is presented', () => {
  test('the newest first, the one before as the other', () => {
    expect(order(both())).toEqual(['two', 'one'])
  })

  test('the one that was accepted last, from then on', () => {
    const older = accepted(both(), 'one', now)
    expect(order(older)).toEqual(['one', 'two'])
    expect(order(accepted(older, 'two', now))).toEqual(['two', 'one'])
  })

  test('of three the newest, and the one that was accepted last', () => {
    const three = { ...two, serial: 'three' }
    expect(order(adopted(accepted(both(), 'one', now), three))).toEqual(['three', 'one'])
    expect(order(adopted(accepted(both(), 'two', now), three))).toEqual(['three', 'two'])
  })

  test('none that has lapsed', () => {
    const later = one.notAfter
    expect(presentable(both(), later).map(({ serial }) => serial)).toEqual(['two'])
  })

  test('never one of another agent id or SPIFFE ID', () => {
    const spiffeId = SpiffeId.parse('spiffe://other.example/agent')
    for (const another of [{ agentId: 'another' }, { spiffeId }]) {
      expect(order(adopted(adopted(NO_CERTIFICATES, { ...one, ...another }), two))).toEqual(['two'])
    }
  })

  test('never the same one twice: an answer that is completed again after a crash brings no other', () => {
    expect(order(adopted(adopted(NO_CERTIFICATES, one), one))).toEqual(['one'])
  })
})

describe('the older certificate and its key', () => {
  test('stay until it lapses, while the newest has not been accepted', () => {
    expect(olderEndsAt(both())).toBe(one.notAfter)
    expect(olderEndsAt(accepted(both(), 'one', now))).toBe(one.notAfter)
  })

  test('stay for ten minutes after the newest was accepted for the first time', () => {
    const first = accepted(both(), 'two', now)
    const again = accepted(accepted(first, 'one', now + MINUTE), 'two', now + 2 * MINUTE)
    expect([olderEndsAt(first), olderEndsAt(again)]).toEqual([now + 10 * MINUTE, now + 10 * MINUTE])
  })

  test('are gone after that', () => {
    const gone = withoutOlder(accepted(both(), 'one', now))
    expect([gone.older, gone.first, olderEndsAt(gone)]).toEqual([null, 'newest', Number.POSITIVE_INFINITY])
  })
})

describe('a refusal of all', () => {
  test('is counted between the first and the last, by the clock that never jumps', () => {
    const at = (wall: number, monotonic: number) => ({ now: wall, monotonic })
    const first = refused(both(), at(now, 5))
    const second = refused(first, at(now + 999 * MINUTE, 5 + 2 * MINUTE))
    expect(first.refusal).toMatchObject({ since: now, forMs: 0 })
    expect(second.refusal).toMatchObject({ since: now, forMs: 2 * MINUTE })
  })

  test.each([
    ['one certificate is accepted', (c: Certificates) => accepted(c, 'one', now)],
    ['a request without a certificate is answered', (c: Certificates) => accepted(c, null, now)],
    ['another certificate is earned', (c: Certificates) => adopted(c, { ...two, serial: 'three' })],
  ])('ends when %s', (_what, event) => {
    expect(event(refused(both(), { now, monotonic: 0 })).refusal).toBeNull()
  })
})

test('what changes nothing is the same object', () => {
  const known = accepted(both(), 'two', now)
  expect(accepted(known, 'two', now + 1)).toBe(known)
  expect(accepted(known, 'unknown', now + 1)).toBe(known)
  expect(tokenSpent(known, 'first-token')).toBe(known)
  expect(tokenSeen(known, 'a')).toBe(known)
  const revoked = madeInactive(known, now)
  expect(madeInactive(revoked, now + 1)).toBe(revoked)
})

describe('a join token is fresh', () => {
  const rows: [string, (c: Certificates) => Certificates, string | null, boolean][] = [
    ['when it was never used', (c) => c, 'new', true],
    ['not when there is none', (c) => c, null, false],
    ['not when it earned the certificate', (c) => c, 'first-token', false],
    [
      'not when it earned one before that',
      (c) => adopted(c, { ...two, serial: '3', tokenDigest: 'b' }),
      'first-token',
      false,
    ],
    ['not when it was refused', (c) => tokenSpent(c, 'bad'), 'bad', false],
    ['not when it lay there as the agent was revoked', (c) => tokenSeen(madeInactive(c, now), 'old'), 'old', false],
    ['not before it is known what lay there', (c) => madeInactive(c, now), 'new', false],
    ['when it came after the agent was revoked', (c) => tokenSeen(madeInactive(c, now), 'old'), 'new', true],
    ['when it came after that where none lay there', (c) => tokenSeen(madeInactive(c, now), null), 'new', true],
    [
      'not when it was used before the agent was revoked',
      (c) => tokenSeen(madeInactive(tokenSpent(c, 'bad'), now), null),
      'bad',
      false,
    ],
  ]
  test.each(rows)('%s', (_fact, history, digest, fresh) => {
    expect(isFresh(history(both()), digest)).toBe(fresh)
  })

  test('and the last 64 that were used are remembered', () => {
    let known = both()
    for (let n = 0; n < 80; n++) known = tokenSpent(known, `token-${n}`)
    expect(known.usedTokens).toHaveLength(64)
    expect([isFresh(known, 'token-16'), isFresh(known, 'token-79')]).toEqual([false, false])
  })
})

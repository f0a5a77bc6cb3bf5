import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { SpiffeId } from '../../../agent/identity/spiffe-id.js'
import { rateLimited, refusal } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'
import { compactToken } from '../../fakes/tokens.js'
import { until } from '../../support/until.js'
import { type JwtWorld, jwtWorld, quiet } from './jwt-world.js'

let world: JwtWorld
const away = () => new AgentError('icp.unreachable', 'the server is away')
const coded = (code: string) => expect.objectContaining({ code })

beforeEach(async () => {
  world = await jwtWorld()
})
afterEach(async () => {
  await world[Symbol.asyncDispose]()
})

describe('asking', () => {
  test('200 concurrent calls for one audience make one request to the server', async () => {
    const subject = world.subject(world.add('/web'))
    const tokens = await Promise.all(Array.from({ length: 200 }, (_, i) => world.want(subject, { uid: i % 7 })))
    expect(new Set(tokens.map(({ token }) => token.reveal())).size).toBe(1)
    expect(world.issued()).toBe(1)
  })

  test('a token serves every call until half its life has passed', async () => {
    const subject = world.subject(world.add('/web'))
    const first = await world.want(subject)
    await world.clock.advance(149_000)
    expect(await world.want(subject)).toBe(first)
    expect(world.issued()).toBe(1)
  })

  test('another set of audiences and another entry are other tokens', async () => {
    const [web, api] = [world.add('/web'), world.add('/api')]
    await Promise.all([
      world.want(world.subject(web, 'a')),
      world.want(world.subject(web, 'a', 'b')),
      world.want(world.subject(api, 'a')),
    ])
    expect(world.issued()).toBe(3)
    expect(world.cache.size).toBe(3)
  })

  test('users take turns when there is a queue', async () => {
    const entry = world.add('/web')
    world.setAttested(false)
    const greedy = Array.from({ length: 6 }, (_, i) => world.want(world.subject(entry, `greedy${i}`), { uid: 1 }))
    const modest = world.want(world.subject(entry, 'modest'), { uid: 2 })
    world.setAttested(true)
    world.svids.wake()
    await Promise.all([...greedy, modest])
    const order = world.server.calls.filter(({ method }) => method === 'issueJwt').map(({ request }) => request)
    expect(order.findIndex((request) => JSON.stringify(request).includes('modest'))).toBeLessThanOrEqual(1)
  })

  test('a turn is taken with a request, and not by looking whether one may go', async () => {
    const entry = world.add('/web')
    world.limiter.limited('service', 60_000)
    const waiting = world.want(world.subject(entry), { uid: 1, deadlineMs: 120_000 })
    for (let i = 0; i < 10; i++) {
      world.svids.wake()
      await quiet()
    }
    expect([world.issued(), world.demand.turnOf(1)]).toEqual([0, 0])
    await world.clock.advance('75s')
    await waiting
    expect([world.issued(), world.demand.turnOf(1)]).toEqual([1, 1])
  })

  test('the trust domain of a verified token is spoken for', async () => {
    const entry = world.add('/web')
    await world.want(world.subject(entry))
    expect(world.markServed).toEqual([entry.spiffeId.trustDomain])
  })

  test('the pace stays below the limit of the server', async () => {
    const entry = world.add('/web')
    const wanted = Array.from({ length: 40 }, (_, i) =>
      world.want(world.subject(entry, `a${i}`), { deadlineMs: 60_000 }),
    )
    await quiet()
    expect(world.issued()).toBeLessThanOrEqual(16)
    for (let i = 0; i < 40; i++) {
      await world.verified()
      await world.clock.advance('1s')
    }
    await Promise.all(wanted)
    expect(world.issued()).toBe(40)
  })
})

describe('a server that sees no client certificate', () => {
  test('is told of once, until it issues again', async () => {
    const subject = world.subject(world.add('/web'))
    world.server.fail('issueJwt', refusal('icp.jwt_unauthorized', 401), { times: 3 })
    for (let i = 0; i < 3; i++) {
      await expect(world.want(subject)).rejects.toEqual(coded('icp.jwt_unauthorized'))
      await world.clock.advance('3s')
    }
    await world.want(subject)
    expect(world.sinks.lines.filter(({ level }) => level !== 'debug').map(({ event }) => event)).toEqual([
      'JWT bundle changed',
      'The ICP server sees no client certificate, and issues no JWT-SVIDs',
      'JWT-SVIDs are issued again',
    ])
    expect(world.server.count('attestNode')).toBe(0)
  })
})

describe('ageing tokens', () => {
  test('are refreshed ahead while in use, without anybody waiting', async () => {
    const subject = world.subject(world.add('/web'))
    const first = await world.want(subject)
    await world.clock.advance('151s')
    await until(() => world.issued() === 2 && world.cache.use(subject, world.clock.now()) !== first)
    const second = await world.want(subject)
    expect(second.expiresAt).toBeGreaterThan(first.expiresAt)
    expect(world.issued()).toBe(2)
  })

  test('are left to expire once nobody uses them', async () => {
    await world.want(world.subject(world.add('/web')))
    for (let i = 0; i < 20; i++) {
      await world.clock.advance('60s')
      await world.verified()
    }
    // The one that was handed out had a successor; the successor had none.
    expect(world.issued()).toBe(2)
    expect(world.cache.size).toBe(0)
  })

  test('are served while the server is away, until they expire', async () => {
    const subject = world.subject(world.add('/web'))
    const first = await world.want(subject)
    world.server.fail('issueJwt', away(), { times: 1_000 })
    await world.clock.advance('200s')
    expect(await world.want(subject)).toBe(first)
    await world.clock.advance('101s')
    await expect(world.want(subject)).rejects.toEqual(coded('icp.unreachable'))
  })

  test('are handed out after a second of waiting for a successor', async () => {
    const subject = world.subject(world.add('/web'))
    const first = await world.want(subject)
    world.server.latencyMs = 60_000
    await world.clock.advance('200s')
    const second = world.want(subject)
    await world.clock.advance('1s')
    expect(await second).toBe(first)
  })

  test('that cannot be refreshed are asked for every thirty seconds, not in a loop', async () => {
    const subject = world.subject(world.add('/web'))
    await world.want(subject)
    world.server.fail('issueJwt', away(), { times: 1_000 })
    for (let i = 0; i < 29; i++) {
      await world.clock.advance('10s')
      await quiet()
    }
    expect(world.issued()).toBeGreaterThan(2)
    expect(world.issued()).toBeLessThan(8)
  })
})

describe('what the server gets wrong is never served', () => {
  const NOW_S = Date.parse('2026-01-01T00:00:00Z') / 1000
  const good = (sub: string) => ({ sub, aud: ['db'], exp: NOW_S + 300, iat: NOW_S })
  test.each<[string, (claims: Readonly<Record<string, unknown>>) => Record<string, unknown>]>([
    ['another subject', (claims) => ({ ...claims, sub: 'spiffe://td.example/admin' })],
    ['no subject', ({ sub: _, ...claims }) => claims],
    ['another audience', (claims) => ({ ...claims, aud: ['other'] })],
    ['one audience of two', (claims) => ({ ...claims, aud: ['db'] })],
    ['a token that has expired', (claims) => ({ ...claims, exp: NOW_S - 60 })],
    ['no expiry', ({ exp: _, ...claims }) => claims],
    ['a token for tomorrow', (claims) => ({ ...claims, nbf: NOW_S + 86_400 })],
  ])('%s', async (_what, claims) => {
    world.server.tamper.claims = claims
    const error = await world.want(world.subject(world.add('/web'), 'db', 'queue')).catch((reason: unknown) => reason)
    expect(error).toEqual(coded('icp.bad_response'))
    expect(world.cache.size).toBe(0)
  })

  test.each<[string, (sub: string) => Promise<string>]>([
    ['no token at all', async () => 'not-a-token'],
    [
      'an unsigned token',
      async (sub) => `${compactToken({ key: await rsaKey(0), alg: 'none', claims: good(sub) })}AAAA`,
    ],
    ['a token of a foreign key', async (sub) => compactToken({ key: await rsaKey(1), claims: good(sub) })],
    [
      'a token signed with an HMAC',
      async (sub) => compactToken({ key: await rsaKey(0), alg: 'HS256', claims: good(sub), hmacKey: Buffer.from('k') }),
    ],
  ])('%s', async (_what, make) => {
    const entry = world.add('/web')
    const token = await make(entry.spiffeId.uri)
    world.server.tamper.claims = () => token
    const error = await world.want(world.subject(entry)).catch((reason: unknown) => reason)
    expect(error).toEqual(coded('icp.bad_response'))
    expect(String(error)).not.toContain(token)
  })

  test('a good token in use outlives a wrong successor', async () => {
    const subject = world.subject(world.add('/web'))
    const first = await world.want(subject)
    world.server.tamper.claims = (claims) => ({ ...claims, sub: 'spiffe://td.example/admin' })
    await world.clock.advance('200s')
    expect(await world.want(subject)).toBe(first)
  })
})

test('a key that is newer than the bundle is fetched, also under the same kid', async () => {
  const subject = world.subject(world.add('/web'))
  await world.want(subject)
  world.server.jwtKey = 1
  await world.want({ ...subject, audience: ['queue'] })
  expect(world.server.count('jwtBundle')).toBe(2)
  expect(world.keys.current().map(({ jwk }) => jwk.kid)).toEqual(['default', 'default'])
})

describe('failures', () => {
  test('are the answer for whoever asks in the next two seconds, then the server is asked again', async () => {
    const subject = world.subject(world.add('/web'))
    world.server.fail('issueJwt', rateLimited(1_000), { times: 1 })
    await expect(world.want(subject)).rejects.toEqual(coded('icp.rate_limited'))
    await expect(world.want(subject)).rejects.toEqual(coded('icp.rate_limited'))
    expect(world.issued()).toBe(1)
    await world.clock.advance('3s')
    await expect(world.want(subject)).resolves.toBeDefined()
  })

  test('of one subject say nothing of another', async () => {
    const [web, api] = [world.add('/web'), world.add('/api')]
    world.server.fail('issueJwt', refusal('icp.forbidden', 403), { times: 1 })
    await expect(world.want(world.subject(web))).rejects.toEqual(coded('icp.forbidden'))
    await expect(world.want(world.subject(api))).resolves.toBeDefined()
  })

  test('that are defects of ours are called internal', async () => {
    world.server.fail('issueJwt', new TypeError('a defect'), { times: 1 })
    await expect(world.want(world.subject(world.add('/web')))).rejects.toEqual(coded('internal'))
  })
})

describe('waiting', () => {
  test('ends at the deadline; the token arrives for the next one', async () => {
    const subject = world.subject(world.add('/web'))
    world.server.latencyMs = 15_000
    const late = world.want(subject)
    const refused = expect(late).rejects.toEqual(coded('svid.pending'))
    await world.clock.advance('10s')
    await refused
    await world.clock.advance('5s')
    await until(() => world.cache.size === 1)
    await expect(world.want(subject)).resolves.toBeDefined()
    expect(world.issued()).toBe(1)
  })

  test('of a client that is gone ends, and nothing is asked for it', async () => {
    world.setAttested(false)
    const subject = world.subject(world.add('/web'))
    const gone = new AbortController()
    const waiting = world.want(subject, { signal: gone.signal })
    gone.abort()
    await expect(waiting).rejects.toEqual(coded('svid.pending'))
    await expect(world.want(subject, { signal: gone.signal })).rejects.toEqual(coded('svid.pending'))
    world.setAttested(true)
    world.svids.wake()
    await quiet()
    expect(world.issued()).toBe(0)
  })

  test('for the agent itself ends as soon as it has an identity', async () => {
    world.setAttested(false)
    const waiting = world.want(world.subject(world.add('/web')))
    await world.clock.advance('1s')
    world.setAttested(true)
    world.svids.wake()
    await expect(waiting).resolves.toBeDefined()
  })

  test('ends when the agent stops', async () => {
    world.server.latencyMs = 60_000
    const waiting = expect(world.want(world.subject(world.add('/web')))).rejects.toEqual(coded('agent.stopping'))
    await quiet()
    await world.stop()
    await waiting
    expect(world.clock.pending).toBe(0)
  })
})

describe('an entry', () => {
  test('removed while the server works earns nothing', async () => {
    const entry = world.add('/web')
    world.server.latencyMs = 1_000
    const waiting = expect(world.want(world.subject(entry))).rejects.toEqual(coded('entry.none'))
    await world.clock.advance(500)
    world.server.removeEntry(entry.id)
    world.sync()
    await world.clock.advance(500)
    await waiting
    expect(world.cache.size).toBe(0)
  })

  test('that comes to name another identity does not serve the token of the one before', async () => {
    const before = world.add('/web', 'e1')
    await world.want(world.subject(before))
    const after = world.add('/admin', 'e1')
    const token = await world.want(world.subject(after))
    expect(token.spiffeId.equals(SpiffeId.parse(after.spiffeId.uri))).toBe(true)
    await expect(world.want(world.subject(before, 'other'))).rejects.toEqual(coded('entry.none'))
  })
})

test('no log line and no figure holds a token', async () => {
  const { token } = await world.want(world.subject(world.add('/web')))
  world.server.tamper.claims = (claims) => ({ ...claims, sub: 'spiffe://td.example/admin' })
  await world.want(world.subject(world.add('/api'))).catch((reason: unknown) => reason)
  const said = JSON.stringify([world.sinks.lines, world.sinks.figures])
  expect(world.sinks.events('debug')).toEqual(['JWT-SVID issued', 'JWT-SVID not issued'])
  for (const part of token.reveal().split('.')) expect(said).not.toContain(part)
})

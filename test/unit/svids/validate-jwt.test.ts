import { beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError } from '../../../agent/errors.js'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import { JwtValidator } from '../../../agent/svids/validate-jwt.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'
import { fixedRandom } from '../../fakes/random.js'
import { compactToken } from '../../fakes/tokens.js'

const coded = (code: string) => expect.objectContaining({ code })
const stay = () => new AbortController().signal
let clock: FakeClock
let server: FakeControlPlane
let limiter: RateLimiter
let validator: JwtValidator
let token: Secret

beforeEach(async () => {
  clock = new FakeClock()
  server = await FakeControlPlane.create({ clock })
  limiter = new RateLimiter(clock, fixedRandom(0))
  const controlPlane = limitedControlPlane(server, { limiter, reachability: new ServerReachability(clock) }, () => true)
  validator = new JwtValidator({ controlPlane, limiter, clock, deadlineMs: 10_000 })
  const claims = { sub: `spiffe://${server.tenantId}/web`, aud: ['db'], exp: clock.now() / 1000 + 7200 }
  token = new Secret(compactToken({ key: await rsaKey(0), claims }))
})

const ask = (audience = 'db', signal = stay(), asked = token) => validator.validate({ token: asked, audience }, signal)

test('what the server says is the judgement', async () => {
  expect(await ask()).toMatchObject({ valid: true, spiffeId: `spiffe://${server.tenantId}/web` })
  expect(await ask('other')).toMatchObject({ valid: false })
})

test('one question is asked for all who ask at the same time, and none of them waits for the first one', async () => {
  server.latencyMs = 1_000
  const leaving = new AbortController()
  const first = expect(ask('db', leaving.signal)).rejects.toThrow('gone')
  const others = Promise.all(Array.from({ length: 50 }, () => ask()))
  leaving.abort(new Error('gone'))
  await first
  await clock.advance('1s')
  expect((await others).every(({ valid }) => valid)).toBe(true)
  expect(server.count('validateJwt')).toBe(1)
})

test('a token that holds is asked about each time: it may have been revoked', async () => {
  await ask()
  await ask()
  expect(server.count('validateJwt')).toBe(2)
})

test('a refused token stays refused for a minute without another question', async () => {
  await ask('other')
  await ask('other')
  expect(server.count('validateJwt')).toBe(1)
  await clock.advance('61s')
  expect((await ask('other')).valid).toBe(false)
  expect(server.count('validateJwt')).toBe(2)
})

test('what is remembered is bounded', async () => {
  const roomy = { opensIn: () => 0 }
  validator = new JwtValidator({ controlPlane: server, limiter: roomy, clock, deadlineMs: 10_000 })
  for (let i = 0; i < 1_001; i++) await ask(`audience ${i}`)
  await ask('audience 1000')
  await ask('audience 0')
  expect(server.count('validateJwt')).toBe(1_002)
})

describe('nobody waits longer than the deadline', () => {
  test('for a server that hangs', async () => {
    server.latencyMs = 60_000
    const refused = expect(ask()).rejects.toEqual(coded('icp.timeout'))
    await clock.advance('10s')
    await refused
    expect(clock.pending).toBe(0)
  })

  test('for a slot: who cannot get one in time hears so at once', async () => {
    limiter.limited('sensitive', 60_000)
    await expect(ask()).rejects.toEqual(coded('icp.rate_limited'))
    expect(server.count('validateJwt')).toBe(0)
  })

  test('and the questions of many stay within the limit', async () => {
    const asked = Promise.allSettled(Array.from({ length: 12 }, (_, i) => ask(`audience ${i}`)))
    await clock.advance('10s')
    const codes = (await asked).map((result) =>
      result.status === 'rejected' && result.reason instanceof AgentError ? result.reason.code : 'answered',
    )
    expect(server.count('validateJwt')).toBeLessThanOrEqual(6)
    expect(codes.filter((code) => code === 'answered')).toHaveLength(server.count('validateJwt'))
    expect(new Set(codes)).toEqual(new Set(['answered', 'icp.timeout']))
  })
})

test('a server that does not answer makes nothing valid', async () => {
  server.fail('validateJwt', new AgentError('icp.unreachable', 'the server is away'))
  await expect(ask()).rejects.toEqual(coded('icp.unreachable'))
})

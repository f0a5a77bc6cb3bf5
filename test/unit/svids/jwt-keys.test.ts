import { beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import type { Jwk } from '../../../agent/icp/control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { jwtEvents } from '../../../agent/observability/jwt-events.js'
import { JwtKeys } from '../../../agent/svids/jwt-keys.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { FakeClock } from '../../fakes/clock.js'
import { rsaKey } from '../../fakes/keys.js'
import { fixedRandom } from '../../fakes/random.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { jwtKeyOf, publishedKey } from '../../fakes/tokens.js'

const stay = new AbortController().signal
let clock: FakeClock
let store: SvidStore
let sinks: RecordedSinks
let keys: JwtKeys
let published: readonly Jwk[] | Error
let asked: number
let publications: number
const named = (n: number) => rsaKey(n).then((key) => publishedKey(key, { kid: 'default', alg: 'RS256' }))
const fingerprints = () => keys.current().map(({ fingerprint }) => fingerprint)

beforeEach(async () => {
  clock = new FakeClock()
  store = new SvidStore()
  sinks = new RecordedSinks()
  asked = publications = 0
  store.observe(() => publications++)
  const controlPlane = {
    jwtBundle: async () => {
      asked++
      if (published instanceof Error) throw published
      return published
    },
  }
  const limiter = new RateLimiter(clock, fixedRandom(0))
  keys = new JwtKeys({ store, controlPlane, limiter, clock, events: jwtEvents(sinks) })
  published = [await named(0)]
})

describe('a refresh', () => {
  test('publishes the keys, and again only when they change', async () => {
    await keys.refresh(stay)
    const [first] = keys.current()
    await keys.refresh(stay)
    expect(publications).toBe(1)
    expect(keys.current()[0]).toBe(first)
    expect(sinks.events('info')).toEqual(['JWT bundle changed'])
  })

  test('keeps a key that is published no longer for an hour: tokens of it are out there', async () => {
    await keys.refresh(stay)
    const [old] = keys.current()
    published = [await named(1)]
    await clock.advance('30m')
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(2)
    expect(keys.current()[1]).toBe(old)
    await clock.advance('31m')
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(1)
    expect(keys.current()).not.toContain(old)
  })

  test('puts what is published before what was', async () => {
    await keys.refresh(stay)
    const before = fingerprints()
    published = [await named(1)]
    await keys.refresh(stay)
    expect(fingerprints()[1]).toBe(before[0])
  })

  test('puts a new key first, wherever the server names it, and tells that keys share a kid', async () => {
    await keys.refresh(stay)
    const [old] = fingerprints()
    published = [await named(0), await named(1)]
    await keys.refresh(stay)
    expect(fingerprints()).toEqual([expect.not.stringMatching(`^${old}$`), old])
    expect(sinks.lines.at(-1)?.fields).toEqual({ keys: 2, sharing_a_kid: 1 })
    const order = fingerprints()
    published = [await named(0), await named(1)].reverse()
    await keys.refresh(stay)
    expect(fingerprints()).toEqual(order)
    expect(publications).toBe(2)
  })

  test('lets a key that came back from disk go in the end, too', async () => {
    const restored = await jwtKeyOf(await rsaKey(1))
    store.publish({ jwtKeys: [restored] }, { entries: new Set(), bundles: true })
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(2)
    await clock.advance('61m')
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(1)
  })

  test('takes a key over that changed its name', async () => {
    await keys.refresh(stay)
    published = [await rsaKey(0).then((key) => publishedKey(key, { kid: 'renamed', alg: 'RS256' }))]
    await keys.refresh(stay)
    expect(keys.current().map(({ jwk }) => jwk.kid)).toEqual(['renamed'])
  })

  test('takes a key that is named twice once', async () => {
    published = [await named(0), await named(0)]
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(1)
  })

  test.each<[string, () => Promise<Jwk[]>]>([
    ['nothing', async () => []],
    ['keys of another use', async () => [publishedKey(await rsaKey(0), { use: 'x509-svid' })]],
    ['a key whose kind cannot even be printed', async () => [JSON.parse('{"kty":{"toString":1,"valueOf":1}}') as Jwk]],
    ['a symmetric key', async () => [{ kty: 'oct', k: 'AAAA' }]],
  ])('to %s changes nothing', async (_what, make) => {
    await keys.refresh(stay)
    const before = keys.current()
    published = await make()
    await expect(keys.refresh(stay)).rejects.toMatchObject({ code: 'icp.bad_response' })
    expect(keys.current()).toBe(before)
  })

  test('leaves out what cannot be used, and says so once', async () => {
    published = [await named(0), { kty: 'oct', k: 'AAAA' }]
    await keys.refresh(stay)
    await keys.refresh(stay)
    expect(keys.current()).toHaveLength(1)
    expect(sinks.events('warn')).toHaveLength(1)
  })

  test('is one request for all who want it', async () => {
    await Promise.all([keys.refresh(stay), keys.refresh(stay), keys.refresh(stay)])
    expect(asked).toBe(1)
  })
})

describe('a token that no key signed', () => {
  test('makes the server be asked for newer keys', async () => {
    await keys.refresh(stay)
    await clock.advance('31s')
    published = [await named(1)]
    expect(await keys.reconsider(stay)).toBe(true)
    expect(keys.current()).toHaveLength(2)
  })

  test('does so at most every thirty seconds, whoever sends such tokens', async () => {
    await clock.advance('31s')
    expect(await keys.reconsider(stay)).toBe(true)
    for (let i = 0; i < 100; i++) expect(await keys.reconsider(stay)).toBe(false)
    expect(asked).toBe(1)
  })

  test('while the server is away changes nothing', async () => {
    await keys.refresh(stay)
    await clock.advance('31s')
    published = new AgentError('icp.unreachable', 'the server is away')
    expect(await keys.reconsider(stay)).toBe(false)
  })
})

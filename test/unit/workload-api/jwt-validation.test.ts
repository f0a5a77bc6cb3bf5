import type { KeyObject } from 'node:crypto'
import { beforeEach, describe, expect, test } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import { AgentError } from '../../../agent/errors.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { JwtValidation } from '../../../agent/workload-api/jwt-validation.js'
import { FakeClock } from '../../fakes/clock.js'
import { rsaKey } from '../../fakes/keys.js'
import { compactToken, jwtKeyOf } from '../../fakes/tokens.js'

const stay = new AbortController().signal
const invalid = expect.objectContaining({ code: 'jwt.invalid' })
const coded = (code: string) => expect.objectContaining({ code })
const WEB = 'spiffe://served.example/web'
const clock = new FakeClock()
const SECOND = clock.now() / 1000

let key: KeyObject
let store: SvidStore
/** What the server says, or how it fails; and what it was asked. */
let verdict: { valid: boolean; spiffeId: string } | Error
let asked: number
/** Keys that came into force since. */
let newer: readonly KeyObject[]
let reconsidered: number

beforeEach(async () => {
  key = await rsaKey(0)
  store = new SvidStore()
  const bundle = { trustDomain: 'served.example', authorities: [] }
  const bundles = new Map([['served.example', bundle]])
  store.publish({ bundles, jwtKeys: [await jwtKeyOf(key)] }, { entries: new Set(), bundles: true })
  verdict = { valid: true, spiffeId: '' }
  asked = reconsidered = 0
  newer = []
})

function validation(mode: 'auto' | 'local' | 'server'): JwtValidation {
  const remote = {
    validate: async () => {
      asked++
      if (verdict instanceof Error) throw verdict
      return verdict
    },
  }
  const keys = {
    reconsider: async () => {
      reconsidered++
      const jwtKeys = [...store.current.jwtKeys, ...(await Promise.all(newer.map((one) => jwtKeyOf(one))))]
      store.publish({ jwtKeys }, { entries: new Set(), bundles: true })
      return newer.length > 0
    },
  }
  return new JwtValidation({ mode, store, remote, keys, clock })
}

const claims = (change: object = {}) => ({ sub: WEB, aud: ['db'], exp: SECOND + 300, ...change })
const token = (change: object = {}, signer = key) => new Secret(compactToken({ key: signer, claims: claims(change) }))
const validate = (mode: 'auto' | 'local' | 'server', svid: Secret, audience = 'db') =>
  validation(mode).validate(svid, audience, stay)

describe('local', () => {
  test('a token that holds is valid without the server', async () => {
    expect(await validate('local', token())).toEqual({ spiffeId: WEB, claims: claims() })
    expect(asked).toBe(0)
  })
  test('a delegated token is judged by its signature alone', async () => {
    await expect(validate('local', token({ act: { sub: 'user' } }))).resolves.toBeDefined()
    expect(asked).toBe(0)
  })
  test('a token of a trust domain that is not served is invalid, whoever signed it', async () => {
    await expect(validate('local', token({ sub: 'spiffe://foreign.example/web' }))).rejects.toEqual(invalid)
  })
  test('before the first bundle nothing can be said', async () => {
    store.publish({ jwtKeys: [] }, { entries: new Set(), bundles: true })
    await expect(validate('local', token())).rejects.toEqual(coded('agent.starting'))
  })
  test('a token of a key that is newer than the bundle holds, once the bundle is', async () => {
    newer = [await rsaKey(1)]
    await expect(validate('local', token({}, await rsaKey(1)))).resolves.toBeDefined()
  })
  test('a token of nobody’s key is invalid after one more look at the keys', async () => {
    await expect(validate('local', token({}, await rsaKey(1)))).rejects.toEqual(invalid)
    expect(reconsidered).toBe(1)
  })
  test('a token that is wrong otherwise asks for no keys', async () => {
    await expect(validate('local', token({ nbf: SECOND + 3600 }))).rejects.toEqual(invalid)
    expect(reconsidered).toBe(0)
  })
})

describe('auto', () => {
  test('a token of a served trust domain is judged here', async () => {
    await expect(validate('auto', token())).resolves.toBeDefined()
    expect(asked).toBe(0)
  })
  test.each<[string, object]>([
    ['that names an actor', { act: { sub: 'user' } }],
    ['that may act for somebody', { may_act: { sub: 'user' } }],
    ['that names a delegation', { delegation_id: 'd1' }],
    ['of a trust domain that is not served', { sub: 'spiffe://foreign.example/web' }],
    ['of an AI agent, which is issued on a user’s behalf', { sub: 'spiffe://served.example/agent/client/assistant' }],
  ])('a token %s is for the server to remote', async (_what, change) => {
    await expect(validate('auto', token(change))).resolves.toMatchObject({ claims: claims(change) })
    expect(asked).toBe(1)
    verdict = { valid: false, spiffeId: '' }
    await expect(validate('auto', token(change))).rejects.toEqual(invalid)
  })
  test.each(['icp.unreachable', 'icp.rate_limited', 'icp.timeout'] as const)(
    'an answer that does not come (%s) makes nothing valid, nor invalid',
    async (code) => {
      verdict = new AgentError(code, 'the server does not say')
      await expect(validate('auto', token({ act: {} }))).rejects.toEqual(coded(code))
    },
  )
})

describe('server', () => {
  test('every token is for the server to remote', async () => {
    verdict = { valid: true, spiffeId: WEB }
    expect(await validate('server', token())).toEqual({ spiffeId: WEB, claims: claims() })
    verdict = { valid: false, spiffeId: '' }
    await expect(validate('server', token())).rejects.toEqual(invalid)
    expect(asked).toBe(2)
  })
  test('a judgement on another identity is none', async () => {
    verdict = { valid: true, spiffeId: 'spiffe://served.example/admin' }
    await expect(validate('server', token())).rejects.toEqual(coded('icp.bad_response'))
  })
})

describe.each(['auto', 'local', 'server'] as const)('%s: the server is not asked', (mode) => {
  test.each<[string, () => Secret, string]>([
    ['about what is no token', () => new Secret('not-a-token'), 'db'],
    ['about a token that has expired', () => token({ exp: SECOND - 60 }), 'db'],
    ['about a token for somebody else', () => token(), 'queue'],
    ['about a token without a SPIFFE ID', () => token({ sub: 'web' }), 'db'],
    ['about an unsigned token', () => new Secret(`${compactToken({ key, alg: 'none', claims: claims() })}AAAA`), 'db'],
  ])('%s', async (_what, make, audience) => {
    await expect(validate(mode, make(), audience)).rejects.toEqual(invalid)
    expect(asked).toBe(0)
  })
})

import { decodeJwt, decodeProtectedHeader, importJWK, jwtVerify } from 'jose'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  adminCall,
  agentId,
  attestedAgent,
  type ClientIdentity,
  call,
  csrFor,
  type OpenDevIcp,
  openDevIcp,
} from '../support/dev-icp.js'

describe('JWT-SVIDs', () => {
  let open: OpenDevIcp
  let agent: ClientIdentity
  let web: string
  beforeAll(async () => {
    open = await openDevIcp({ generation: 'workspace' })
    agent = await attestedAgent(open.icp)
    web = `spiffe://${open.icp.tenantId}/web`
    await open.icp.createEntry({ spiffeId: web, selectors: { 'unix:uid': '1' } })
    await open.icp.createEntry({
      spiffeId: `spiffe://${open.icp.tenantId}/foreign`,
      parentId: agentId(open.icp, 'other'),
      selectors: { 'unix:uid': '2' },
    })
  })
  afterAll(() => open[Symbol.asyncDispose]())

  const issue = (body: object, identity: ClientIdentity = agent) =>
    call(open.icp, 'POST', '/v1/jwt/issue', { body: { audience: ['db'], ...body }, identity })
  const validate = async (token: string, audience = 'db') =>
    (await call(open.icp, 'POST', '/v1/jwt/validate', { body: { token, audience } })).json

  test('are signed with RS256 by the account, without a kid, and verify against its one published key', async () => {
    const { status, json } = await issue({ spiffe_id: web, custom_claims: { team: 'a', role: 'root', sub: 'x' } })
    expect(status).toBe(200)
    expect(decodeProtectedHeader(json.token)).toEqual({ alg: 'RS256', typ: 'JWT' })
    const jwks = await call(open.icp, 'GET', `/v1/jwt/bundle?workspace_id=${open.icp.tenantId}`)
    expect(jwks.json.keys).toMatchObject([{ kty: 'RSA', use: 'sig', kid: 'default', alg: 'RS256' }])
    expect(jwks.json.keys[0]).not.toHaveProperty('d')
    const key = await importJWK({ ...jwks.json.keys[0] }, 'RS256')
    const { payload } = await jwtVerify(json.token, key, { audience: 'db', issuer: `spiffe://${open.icp.tenantId}` })
    expect(payload).toMatchObject({ sub: web, aud: ['db'], team: 'a' })
    expect(payload).not.toHaveProperty('role')
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(3600)
    expect(Date.parse(json.expires_at)).toBe((payload.exp ?? 0) * 1000)
  })

  test('live as long as asked for, at most a day', async () => {
    const life = async (ttl: number) => {
      const { exp = 0, iat = 0 } = decodeJwt((await issue({ spiffe_id: web, ttl })).json.token)
      return exp - iat
    }
    expect(await life(60)).toBe(60)
    expect(await life(1_000_000)).toBe(86_400)
  })

  test('need an audience', async () => {
    const { status, json } = await issue({ spiffe_id: web, audience: [] })
    expect([status, json.error.message]).toEqual([500, 'audience is required'])
  })

  test('are given for the caller itself or what the calling agent serves', async () => {
    expect((await issue({})).json.spiffe_id).toBe(agentId(open.icp))
    expect((await issue({ spiffe_id: `spiffe://${open.icp.tenantId}/foreign` })).status).toBe(404)
    expect((await issue({ spiffe_id: `spiffe://${open.icp.tenantId}/unknown` })).status).toBe(404)
    const { json } = await call(open.icp, 'POST', '/v1/workload/attest', {
      identity: agent,
      body: { selectors: { 'unix:uid': '1' }, csr: await csrFor(web) },
    })
    const workload = { ...agent, certificate: json.certificate }
    expect((await issue({}, workload)).json.spiffe_id).toBe(web)
    expect((await issue({ spiffe_id: agentId(open.icp) }, workload)).status).toBe(403)
  })

  test('validate with 200 either way', async () => {
    const { token } = (await issue({ spiffe_id: web })).json
    expect(await validate(token)).toMatchObject({ valid: true, spiffe_id: web, sub: web, audience: ['db'] })
    expect(await validate(token, '')).toMatchObject({ valid: true })
    expect(await validate(token, 'other')).toMatchObject({ valid: false })
    expect(await validate(`${token.slice(0, -6)}AAAAAA`)).toEqual({ valid: false, spiffe_id: '' })
    expect(await validate('rubbish')).toMatchObject({ valid: false })
    const foreign = { token, audience: 'db', workspace_id: '00000000-0000-4000-8000-000000000000' }
    expect((await call(open.icp, 'POST', '/v1/jwt/validate', { body: foreign })).json.valid).toBe(false)
  })

  test('delegated ones end when a newer one is given or when they are revoked', async () => {
    const delegated = async (body: object = {}) => {
      const spiffe_id = `spiffe://${open.icp.tenantId}/agent/c-1/crawler`
      const answer = await adminCall(open.icp, 'POST', '/v1/jwt/issue-delegated', {
        spiffe_id,
        audience: ['db'],
        ...body,
      })
      return answer
    }
    expect((await delegated({ spiffe_id: 'spiffe://elsewhere/x' })).status).toBe(403)
    expect((await delegated({ audience: [] })).status).toBe(400)
    const first = (await delegated({ custom_claims: { permissions: ['read'] } })).json.token
    expect(decodeJwt(first)).toMatchObject({ permissions: ['read'] })
    expect((await validate(first)).valid).toBe(true)
    const second = (await delegated()).json.token
    expect((await validate(first)).valid).toBe(false)
    expect((await validate(second)).valid).toBe(true)
    expect((await adminCall(open.icp, 'POST', '/dev/revoke-jwt', { token: second })).status).toBe(200)
    expect((await validate(second)).valid).toBe(false)
    expect((await adminCall(open.icp, 'POST', '/dev/revoke-jwt', { token: 'rubbish' })).status).toBe(400)
  })

  test('that are invalid have null for claims in the tenant API', async () => {
    await using other = await openDevIcp()
    const body = { token: 'rubbish', audience: 'db' }
    const { json } = await call(other.icp, 'POST', '/v1/jwt/validate', { body })
    expect(json).toEqual({ valid: false, spiffe_id: '', claims: null })
  })

  test('carry a kid where that was asked for', async () => {
    await using other = await openDevIcp({ jwtKid: true })
    const identity = await attestedAgent(other.icp)
    const { json } = await call(other.icp, 'POST', '/v1/jwt/issue', {
      identity,
      body: { tenant_id: other.icp.tenantId, spiffe_id: `spiffe://${other.icp.tenantId}/anything`, audience: ['db'] },
    })
    expect(decodeProtectedHeader(json.token).kid).toBe('default')
  })
})

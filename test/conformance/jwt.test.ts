import { createPublicKey } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { parseJwtKey } from '../../agent/identity/jwt-svid.js'
import { startAgent } from '../support/agent.js'
import { codeOf, first, JwtBundlesWatch, tokensOf, validateJwt, X509Watch } from './call.js'
import { line } from './line.js'
import type { Scene } from './scene.js'
import { elsewhere, ownScene } from './target.js'
import { bodyOf, headerOf, signed } from './tokens.js'

/** Waits until the agent knows of another entry for this process. */
async function secondIdentity({ address, addEntry }: Scene): Promise<void> {
  await addEntry('/second')
  using watch = new X509Watch(address, 'spiffe')
  await watch.until(({ svids }) => svids.length === 2)
}

const trustDomain = (uri: string) => /^spiffe:\/\/[^/]+/.exec(uri)?.[0] ?? ''

line('J-01', async ({ address, dialects }) => {
  const audience = ['spiffe://td/db', 'queue', 'https://api.example/v1?x=1']
  for (const dialect of dialects) {
    for (const { svid } of await tokensOf(address, dialect, { audience })) {
      expect([bodyOf(svid)['aud']].flat()).toEqual(expect.arrayContaining(audience))
    }
  }
})

line('J-02', async ({ address, dialects }) => {
  if (!elsewhere) await secondIdentity(await ownScene())
  for (const dialect of dialects) {
    const { svids } = await first(new X509Watch(address, 'spiffe'))
    const all = await tokensOf(address, dialect)
    const identities = all.map(({ spiffeId }) => spiffeId)
    expect(identities).toEqual(expect.arrayContaining(svids.map(({ spiffeId }) => spiffeId)))
    const [one = ''] = identities
    expect((await tokensOf(address, dialect, { spiffeId: one })).map(({ spiffeId }) => spiffeId)).toEqual([one])
  }
})

line('J-03', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const tokens = await tokensOf(address, dialect)
    expect(tokens.length).toBeGreaterThan(0)
    for (const { spiffeId, svid } of tokens) expect(bodyOf(svid)['sub']).toBe(spiffeId)
    const hints = tokens.map(({ hint }) => hint).filter(Boolean)
    expect(new Set(hints).size).toBe(hints.length)
  }
})

line('J-04', async ({ address, dialects }) => {
  const own = (await tokensOf(address, 'spiffe')).map(({ spiffeId }) => trustDomain(spiffeId))
  for (const dialect of dialects) {
    const bundles = await first(new JwtBundlesWatch(address, dialect))
    const names = own.map((name) => (dialect === 'spiffe' ? name : name.slice('spiffe://'.length)))
    expect(Object.keys(bundles)).toEqual(expect.arrayContaining(names))
    for (const { keys } of Object.values(bundles))
      for (const key of keys) expect(key['kty']).toEqual(expect.any(String))
  }
})

line('J-05', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const bundles = await first(new JwtBundlesWatch(address, dialect))
    for (const key of Object.values(bundles).flatMap(({ keys }) => keys)) {
      expect([undefined, 'jwt-svid']).toContain(key['use'])
      for (const secret of ['d', 'p', 'q', 'k', 'x5c']) expect(key).not.toHaveProperty(secret)
      // What the server might publish besides is left out.
      for (const use of ['x509-svid', 'wit-svid', 'enc']) expect(await parseJwtKey({ ...key, use })).toBeNull()
    }
  }
})

line.controlled('J-06', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const keys = Object.values(await first(new JwtBundlesWatch(address, dialect))).flatMap((bundle) => bundle.keys)
    expect(keys.length).toBeGreaterThan(0)
    for (const key of keys) expect(key).toMatchObject({ kid: expect.stringMatching(/./), use: 'jwt-svid' })
  }
})

line('J-07', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const [token] = await tokensOf(address, dialect)
    const { spiffeId, claims } = await validateJwt(address, dialect, token?.svid ?? '')
    expect(spiffeId).toBe(token?.spiffeId)
    const { sub, aud, exp } = bodyOf(token?.svid ?? '')
    const expected = dialect === 'spiffe' ? { sub, aud, exp } : { sub, aud: JSON.stringify(aud), exp: String(exp) }
    expect(claims).toMatchObject(expected)
  }
})

/** The trust domain of an unknown subject has no bundle here; only a server that is asked could vouch for it. */
line.controlled('J-08', async ({ dir, server }) => {
  await using agent = await startAgent({
    dir: `${dir}/verifier`,
    server,
    settings: {
      AGENT__NODE_ID: 'verifier',
      JWT__VALIDATION: 'local',
      WORKLOAD_API__ALLOW_UNAUTHENTICATED_VERIFIERS: 'true',
    },
  })
  await agent.logged('JWT bundle changed')
  const mine = await signed(dir, { sub: `spiffe://${server.tenantId}/web` })
  const foreign = await signed(dir, { sub: 'spiffe://foreign.example/web' })
  for (const dialect of ['spiffe', 'authsec'] as const) {
    expect(await codeOf(validateJwt(agent.address, dialect, mine))).toBe(status.OK)
    expect(await codeOf(validateJwt(agent.address, dialect, foreign))).toBe(status.INVALID_ARGUMENT)
  }
})

line('JV-02', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    for (const { svid } of await tokensOf(address, dialect)) {
      expect(['alg', 'kid', 'typ']).toEqual(expect.arrayContaining(Object.keys(headerOf(svid))))
    }
  }
})

line('JV-09', async ({ address, dialects }) => {
  for (const dialect of dialects) {
    const [token] = await tokensOf(address, dialect)
    const { spiffeId = '', svid = '' } = token ?? {}
    const { [trustDomain(spiffeId)]: own } = await first(new JwtBundlesWatch(address, 'spiffe'))
    const fits = own?.keys.some((jwk) => {
      const key = createPublicKey({ key: { ...jwk } as Record<string, string>, format: 'jwk' })
      return key.asymmetricKeyType === (headerOf(svid)['alg'] === 'RS256' ? 'rsa' : 'ec')
    })
    expect(fits).toBe(true)
    const [header = '', claims = '', signature = ''] = svid.split('.')
    const forged = `${header}.${claims}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`
    expect(await codeOf(validateJwt(address, dialect, forged))).toBe(status.INVALID_ARGUMENT)
  }
})

import { expect, test } from 'vitest'
import { jwksOf } from '../../../agent/identity/jwks.js'
import type { JwtKey } from '../../../agent/identity/jwt-svid.js'
import { rsaKey } from '../../fakes/keys.js'
import { jwtKeyOf } from '../../fakes/tokens.js'

const key = (n: number, kid?: string) => rsaKey(n).then((rsa) => jwtKeyOf(rsa, kid === undefined ? {} : { kid }))
const served = (keys: readonly JwtKey[]) => {
  const jwks = JSON.parse(Buffer.from(jwksOf(keys)).toString()) as { readonly keys: readonly JwtKey['jwk'][] }
  return jwks.keys
}

test('of two keys of one kid both are served: the newest under it, the older one under its fingerprint', async () => {
  const [newest, older] = [await key(0, 'default'), await key(1, 'default')]
  expect(served([newest, older])).toEqual([newest.jwk, { ...older.jwk, kid: older.fingerprint }])
})

test('of three keys of one kid none shares its name', async () => {
  const keys = await Promise.all([0, 1, 2].map((n) => key(n, 'default')))
  expect(new Set(served(keys).map(({ kid }) => kid)).size).toBe(3)
  expect(served(keys).map(({ n }) => n)).toEqual(keys.map(({ jwk }) => jwk.n))
})

test('keys of kids of their own are served as they are', async () => {
  const keys = [await key(0, 'a'), await key(1, 'b'), await key(2)]
  expect(served(keys)).toEqual(keys.map(({ jwk }) => jwk))
})

test('a key that is named after the fingerprint of another keeps that name for itself', async () => {
  const older = await key(1, 'default')
  const keys = [await key(0, 'default'), older, await key(2, older.fingerprint)]
  expect(new Set(served(keys).map(({ kid }) => kid)).size).toBe(3)
  expect(served(keys)[2]).toEqual(keys[2]?.jwk)
})

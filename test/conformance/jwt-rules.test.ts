import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { status } from '@grpc/grpc-js'
import { expect } from 'vitest'
import { verifyJwtSvid } from '../../agent/identity/jwt-svid.js'
import { compactToken, jwtKeyOf, secretToken } from '../fakes/tokens.js'
import { codeOf, tokensOf, validateJwt } from './call.js'
import { line } from './line.js'
import type { Scene } from './scene.js'
import { headerOf, serverKey, signed } from './tokens.js'

const SECOND = Math.floor(Date.now() / 1000)
const { INVALID_ARGUMENT, OK } = status

/** Both dialects answer so to a token. */
async function answers({ address, dialects }: Pick<Scene, 'address' | 'dialects'>, token: string, code: status) {
  for (const dialect of dialects) {
    expect(await codeOf(validateJwt(address, dialect, token)), `${dialect} ${token}`).toBe(code)
  }
}

/** …to tokens of the server's own key that differ from a good one in some claims. */
async function answersClaims(scene: Scene, claims: readonly Readonly<Record<string, unknown>>[], code: status) {
  await ready(scene)
  for (const change of claims) await answers(scene, await signed(scene.dir, { sub: scene.web, ...change }), code)
}

/** The server has its key, and the agent knows it. */
async function ready({ address }: Scene): Promise<void> {
  await tokensOf(address, 'spiffe')
}

line('JV-01', async ({ address, dialects }) => {
  const [token] = await tokensOf(address, 'spiffe')
  const [header = '', payload = '', signature = ''] = (token?.svid ?? '').split('.')
  const flattened = JSON.stringify({ protected: header, payload, signature })
  const general = JSON.stringify({ payload, signatures: [{ protected: header, signature }] })
  for (const text of [flattened, general, `${header}..${signature}`, `${token?.svid}.`, `Bearer ${token?.svid}`]) {
    await answers({ address, dialects }, text, INVALID_ARGUMENT)
  }
})

line.controlled('JV-03', async (scene) => {
  await ready(scene)
  const key = await serverKey(scene.dir)
  const publicKey = createPublicKey(key)
  const { privateKey: edwards } = generateKeyPairSync('ed25519')
  const claims = { sub: scene.web, aud: 'conformance', exp: SECOND + 300 }
  const secrets = [
    publicKey.export({ type: 'spki', format: 'pem' }),
    JSON.stringify(publicKey.export({ format: 'jwk' })),
  ]
  const refused = [
    `${compactToken({ key, claims, alg: 'none' })}AAAA`,
    compactToken({ key, claims, alg: 'none' }),
    compactToken({ key: edwards, claims, alg: 'EdDSA' }),
    ...secrets.map((secret) => compactToken({ key, claims, alg: 'HS256', hmacKey: Buffer.from(secret) })),
  ]
  for (const token of refused) await answers(scene, token, INVALID_ARGUMENT)
  const ec = (namedCurve: string) => generateKeyPairSync('ec', { namedCurve }).privateKey
  const signers: [string[], KeyObject][] = [
    [['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'], key],
    [['ES256'], ec('P-256')],
    [['ES384'], ec('P-384')],
    [['ES512'], ec('P-521')],
  ]
  for (const [algorithms, signer] of signers) {
    for (const alg of algorithms) {
      const keys = [await jwtKeyOf(signer, { alg })]
      const token = secretToken({ key: signer, claims, alg })
      await expect(verifyJwtSvid(token, { audience: 'conformance', keys, now: Date.now() })).resolves.toBeDefined()
    }
  }
})

line.controlled('JV-04', async (scene) => {
  const [token] = await tokensOf(scene.address, 'spiffe')
  expect(headerOf(token?.svid ?? '')).not.toHaveProperty('kid')
  await answers(scene, token?.svid ?? '', OK)
})

line.controlled('JV-05', async (scene) => {
  await ready(scene)
  for (const typ of [undefined, 'JWT', 'JOSE']) {
    await answers(scene, await signed(scene.dir, { sub: scene.web }, { header: { typ } }), OK)
  }
  for (const typ of ['jwt', 'at+jwt', '', 'JWE', 5]) {
    await answers(scene, await signed(scene.dir, { sub: scene.web }, { header: { typ } }), INVALID_ARGUMENT)
  }
})

line.controlled('JV-06', async (scene) => {
  const subjects = [undefined, '', 'web', 'https://td/web', `${scene.web}/`, scene.web.toUpperCase(), [scene.web]]
  await answersClaims(
    scene,
    subjects.map((sub) => ({ sub })),
    INVALID_ARGUMENT,
  )
})

line.controlled('JV-07', async (scene) => {
  await answersClaims(
    scene,
    ['conformance', ['other', 'conformance']].map((aud) => ({ aud })),
    OK,
  )
  const wrong = [
    undefined,
    '',
    [],
    'other',
    ['Conformance'],
    'conformance other',
    { conformance: true },
    [['conformance']],
  ]
  await answersClaims(
    scene,
    wrong.map((aud) => ({ aud })),
    INVALID_ARGUMENT,
  )
})

line.controlled('JV-08', async (scene) => {
  await answersClaims(scene, [{ exp: SECOND + 3600 }, { exp: SECOND + 3600.5 }], OK)
  const wrong = [undefined, SECOND - 60, 0, -1, null, `${SECOND + 300}`, [SECOND + 300]]
  await answersClaims(
    scene,
    wrong.map((exp) => ({ exp })),
    INVALID_ARGUMENT,
  )
})

line.controlled('JV-10', async (scene) => {
  await answersClaims(scene, [{ nbf: SECOND - 60 }, { iat: SECOND + 600 }], OK)
  await answersClaims(scene, [{ nbf: SECOND + 600 }, { nbf: 'now' }], INVALID_ARGUMENT)
})

line.controlled('JV-11', async (scene) => {
  await ready(scene)
  const header = { typ: 'wit+jwt', kid: 'default' }
  const claims = { sub: scene.web, cnf: { jwk: { kty: 'EC', crv: 'P-256', alg: 'ES256' } } }
  await answers(scene, await signed(scene.dir, claims, { header }), INVALID_ARGUMENT)
})

import { expect, test } from 'vitest'
import { NewIssuer } from '../../../agent/agent-svid/new-issuer.js'
import { World } from './world.js'

const MINUTE = 60_000
const issuer = (n: number) => new Uint8Array([n])

async function setting() {
  const world = await World.create({ generation: 'workspace' })
  world.giveToken()
  const identity = (await world.attested()).current()
  if (!identity) throw new TypeError('no identity')
  return { found: new NewIssuer(), identity: { ...identity, spread: 0 }, known: world.server.ca.der }
}

test('an issuer that vouches for the certificate is no news, nor is one before there is a certificate', async () => {
  const { found, identity, known } = await setting()
  expect([found.named([known], identity, 0), found.named([issuer(1)], null, 0), found.at]).toEqual([false, false, null])
})

test('a server that names another issuer each time has one renewal a minute', async () => {
  const { found, identity } = await setting()
  const renewals: number[] = []
  for (let now = 0; now < 10 * MINUTE; now += 1000) {
    found.named([issuer(now / 1000)], identity, now)
    if (found.at === null || found.at > now) continue
    renewals.push(now)
    found.renewed(identity, now)
  }
  expect(renewals).toEqual(Array.from({ length: 10 }, (_, n) => n * MINUTE))
})

test('two issuers that are named before the renewal are one renewal', async () => {
  const { found, identity } = await setting()
  expect(found.named([issuer(1)], identity, 0)).toBe(true)
  expect(found.named([issuer(2)], identity, 5)).toBe(false)
  found.renewed(identity, 10)
  expect([found.named([issuer(1), issuer(2)], identity, 4 * MINUTE), found.at]).toEqual([false, null])
  expect(found.named([issuer(2)], identity, 10 + 5 * MINUTE)).toBe(true)
})

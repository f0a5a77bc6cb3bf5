import { describe, expect, it } from 'vitest'
import { Secret } from '../../../agent/crypto/secret.js'
import type { AgentError } from '../../../agent/errors.js'
import { refusal } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'
import { MINUTE, SyncWorld, serverError } from './sync-world.js'

const LEFT_OUT = 'A certificate in the trust bundle of the ICP server is left out'
const garbage = Buffer.from('garbage')

async function worldWith(...ids: string[]): Promise<SyncWorld> {
  const world = await SyncWorld.create()
  for (const id of ids) world.server.addEntry({ id, path: `/${id}`, selectors: { 'unix:uid': id } })
  await world.synced()
  return world
}
const authoritiesOf = ({ store, server }: SyncWorld) =>
  store.current.bundles.get(server.tenantId)?.authorities.map(({ fingerprint }) => fingerprint) ?? []

describe('an odd certificate in a bundle', () => {
  it('beside the CA of an answer stops nobody, and is said once', async () => {
    const world = await worldWith('a', 'b')
    world.server.tamper.issued = (answer) => ({ ...answer, bundle: [garbage, ...answer.bundle] })
    await world.issue('a')
    await world.issue('b')
    expect([world.svid('a').authority, world.svid('b').authority]).toEqual([
      ...authoritiesOf(world),
      world.svid('a').authority,
    ])
    expect(world.sinks.events('warn')).toEqual([LEFT_OUT])
    expect(world.server.count('bundle')).toBe(0)
  })

  it('that is a leaf is no authority and vouches for nothing', async () => {
    const world = await worldWith('a')
    world.server.tamper.issued = (answer) => ({ ...answer, bundle: [...answer.bundle, ...answer.chain] })
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
    expect(authoritiesOf(world)).toHaveLength(1)
  })

  it('that is all there is counts as none: the published bundle is asked', async () => {
    const world = await worldWith('a')
    world.server.tamper.issued = (answer) => ({ ...answer, bundle: [garbage] })
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
    expect(world.server.count('bundle')).toBe(1)
  })

  it('beside the CA of the published bundle takes nothing from it', async () => {
    const world = await worldWith('a')
    world.server.tamper.bundle = (ders) => [garbage, ...ders]
    for (let i = 0; i < 2; i++) await world.sync.pollBundle(world.stop.signal)
    expect(authoritiesOf(world)).toHaveLength(1)
    expect(world.sinks.events('warn')).toEqual([LEFT_OUT])
    world.server.withoutBundle = true
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
  })

  it('that is the whole published bundle is a poll that failed', async () => {
    const world = await worldWith('a')
    world.server.tamper.bundle = () => [garbage]
    await world.sync.pollBundle(world.stop.signal)
    expect(world.sinks.events('warn')).toEqual([LEFT_OUT, 'Bundle poll failed'])
    expect(authoritiesOf(world)).toEqual([])
  })

  it('never makes an SVID good whose issuer is not among the rest', async () => {
    const world = await worldWith('a', 'b')
    await world.issue('a')
    const { ca } = world.server
    await world.server.rotateCa()
    world.server.tamper.issued = (answer) => ({ ...answer, bundle: [garbage, ca.der] })
    await world.issue('b')
    expect(world.state('b')).toMatchObject({ kind: 'wanted', failures: { code: 'svid.issuer_unknown' } })
  })
})

describe('where answers come without a bundle', () => {
  it('the published one is asked only for an issuer that is not known', async () => {
    const world = await worldWith('a', 'b', 'c')
    world.server.withoutBundle = true
    await world.issue('a')
    await world.issue('b')
    expect(world.server.count('bundle')).toBe(1)
    await world.server.rotateCa()
    await world.issue('c')
    expect(world.svid('c')).toBeDefined()
    expect(world.server.count('bundle')).toBe(2)
    expect(authoritiesOf(world)).toHaveLength(2)
  })

  it.each<[string, AgentError, string]>([
    ['is not there', refusal('icp.not_found', 404), 'svid.issuer_unknown'],
    ['is not published', refusal('icp.no_bundle', 500), 'svid.issuer_unknown'],
    ['is forbidden', refusal('icp.forbidden', 403), 'svid.issuer_unknown'],
    ['fails', serverError(), 'svid.issuer_unknown'],
    ['does not answer', refusal('icp.timeout', 0), 'icp.timeout'],
  ])('a published one that %s is never a refusal of the entry', async (_how, error, code) => {
    for (const known of [true, false]) {
      const world = await worldWith('a', 'b')
      world.server.withoutBundle = true
      if (known) {
        await world.issue('a')
        await world.server.rotateCa()
      }
      world.server.fail('bundle', error)
      await world.issue('b')
      expect(world.state('b')).toMatchObject({ kind: 'wanted', failures: { code } })
    }
  })

  it('a published one that is limited counts as no failure', async () => {
    const world = await worldWith('a')
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.rate_limited', 429, { retryAfterMs: MINUTE }))
    await world.issue('a')
    expect(world.state('a')).toBeUndefined()
  })
})

describe('a key that the server sends along', () => {
  it('is left aside where the certificate is for our own', async () => {
    const world = await worldWith('a')
    const foreign = new Secret(await rsaKey(7))
    world.server.tamper.issued = (answer) => ({ ...answer, serverKey: foreign })
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
  })
})

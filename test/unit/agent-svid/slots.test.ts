import { describe, expect, it } from 'vitest'
import { refusal } from '../../fakes/control-plane.js'
import { never, World } from './world.js'

const tierOf = (world: World, keeper: ReturnType<World['keeper']>) => keeper.due(world.clock.now())?.tier

describe('the client charges each request of an attempt', () => {
  it('of an attestation for each common name', async () => {
    const world = await World.create()
    world.server.fail('attestNode', refusal('icp.cn_refused', 500), { times: 2 })
    await world.attested()
    expect([world.server.count('attestNode'), world.charged]).toEqual([3, ['bootstrap', 'bootstrap', 'bootstrap']])
  })

  it.each([
    ['workspace', 'standard'],
    ['tenant', 'bootstrap'],
  ] as const)('of a renewal for each common name (%s API: %s)', async (generation, tier) => {
    const world = await World.create({ generation })
    if (generation === 'workspace') world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', refusal('icp.cn_refused', 500), { times: 2 })
    world.charged.length = 0
    await world.clock.advance('25m')
    expect(tierOf(world, keeper)).toBe(tier)
    await keeper.attempt(never())
    expect([world.server.count('renewAgent'), world.charged]).toEqual([3, [tier, tier, tier]])
  })

  it('for the bundle that the answer lacks, each time it is asked for', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.server_error', 500))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect([world.server.count('bundle'), world.charged]).toEqual([1, ['bootstrap', 'service']])
    expect(tierOf(world, keeper)).toBe('service')
    await keeper.attempt(never())
    expect([world.server.count('bundle'), world.charged, keeper.state().kind]).toEqual([
      2,
      ['bootstrap', 'service', 'service'],
      'valid',
    ])
  })

  it('and nothing else', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect(world.charged).toEqual(['bootstrap', 'standard'])
  })
})

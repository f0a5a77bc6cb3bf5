import { describe, expect, it } from 'vitest'
import { refusal } from '../../fakes/control-plane.js'
import { never, World } from './world.js'

const tierOf = (world: World, keeper: ReturnType<World['keeper']>) => keeper.due(world.clock.now())?.tier

describe('what an attempt asks besides its one request is owed to the budget', () => {
  it('of an attestation each further common name', async () => {
    const world = await World.create()
    world.server.fail('attestNode', refusal('icp.cn_refused', 500), { times: 2 })
    await world.attested()
    expect([world.server.count('attestNode'), world.owed]).toEqual([3, ['bootstrap', 'bootstrap']])
  })

  it.each([
    ['workspace', 'standard'],
    ['tenant', 'bootstrap'],
  ] as const)('of a renewal each further common name (%s API: %s)', async (generation, tier) => {
    const world = await World.create({ generation })
    if (generation === 'workspace') world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', refusal('icp.cn_refused', 500), { times: 2 })
    await world.clock.advance('25m')
    expect(tierOf(world, keeper)).toBe(tier)
    await keeper.attempt(never())
    expect([world.server.count('renewAgent'), world.owed]).toEqual([3, [tier, tier]])
  })

  it('the bundle that the answer lacks, unless the attempt is for nothing else', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.server_error', 500))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect([world.server.count('bundle'), world.owed]).toEqual([1, ['open']])
    expect(tierOf(world, keeper)).toBe('open')
    await keeper.attempt(never())
    expect([world.server.count('bundle'), world.owed, keeper.state().kind]).toEqual([2, ['open'], 'valid'])
  })

  it('and nothing else', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect(world.owed).toEqual([])
  })
})

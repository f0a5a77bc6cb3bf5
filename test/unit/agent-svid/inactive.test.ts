import { describe, expect, it } from 'vitest'
import { refusal } from '../../fakes/control-plane.js'
import { attested, ChangingCa } from './changing-ca.js'
import { MINUTE, never, open, World, type WorldOptions } from './world.js'

const REVOKED = refusal('icp.agent_inactive', 403)

const platforms: [string, WorldOptions][] = [
  ['a node of the tenant API without join tokens', { generation: 'tenant', joinTokenPath: null }],
  ['a node of the tenant API', { generation: 'tenant' }],
  ['a node of the workspace API', { generation: 'workspace' }],
]

describe.each(platforms)('%s whose agent an administrator has revoked', (_what, options) => {
  async function revoked() {
    const world = await World.create(options)
    if (options.generation === 'workspace') world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', REVOKED, { times: 1000 })
    await world.clock.advance('25m')
    await keeper.attempt(never())
    return { world, keeper }
  }

  it('neither renews nor attests, before its certificate lapses and after, over restarts', async () => {
    const { world, keeper } = await revoked()
    expect(keeper.state()).toMatchObject({ kind: 'inactive', reason: { code: 'icp.agent_inactive' } })
    expect(keeper.due(world.clock.now())).toBeNull()
    for (const each of [keeper, world.keeper(), world.keeper()]) {
      if (each !== keeper) await each.restore()
      const stop = new AbortController()
      const running = each.run(stop.signal, open)
      await world.pass(40 * MINUTE, 10_000)
      await each.attempt(never())
      expect(each.state().kind).toBe('inactive')
      stop.abort()
      await running
    }
    expect([world.server.count('renewAgent'), world.server.count('attestNode')]).toEqual([1, 1])
    expect(world.clock.pending).toBe(0)
  })

  it('says so once, with what it takes to come back', async () => {
    const { world, keeper } = await revoked()
    keeper.certificates.inactive(REVOKED)
    expect(world.sinks.events('error')).toEqual(['Agent was made inactive by an administrator'])
    expect(keeper.state().reason?.message).toContain('join token that was never used')
  })

  it('goes on as if nothing had been as soon as the server accepts it again', async () => {
    const { world, keeper } = await revoked()
    world.server.clearFaults()
    keeper.certificates.accepted(keeper.certificates.names()[0] ?? null)
    expect(keeper.state().kind).toBe('valid')
    await keeper.attempt(never())
    expect(world.server.count('renewAgent')).toBe(2)
  })
})

describe('the join token that brings a revoked agent back', () => {
  /** Revoked while another token lay there already. */
  async function revoked(lay: 'nothing' | 'the used one' | 'a fresh one') {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    if (lay === 'nothing') ca.world.files.content.delete('/etc/icp-agent/join-token')
    if (lay === 'a fresh one') ca.world.giveToken()
    ca.revoked = true
    await ca.sync()
    return { ca, keeper }
  }

  it.each(['nothing', 'the used one', 'a fresh one'] as const)(
    'came after that, and %s lay there before',
    async (lay) => {
      const { ca, keeper } = await revoked(lay)
      const stop = new AbortController()
      const running = keeper.run(stop.signal, open)
      await ca.world.pass(MINUTE)
      expect([ca.world.server.count('attestNode'), keeper.state().kind]).toEqual([1, 'inactive'])
      ca.world.giveToken()
      await ca.world.pass(6000)
      expect([ca.world.server.count('attestNode'), keeper.state().kind]).toEqual([2, 'valid'])
      expect(await ca.sync()).toBe(true)
      stop.abort()
      await running
    },
  )

  it('may come while no agent runs', async () => {
    const { ca, keeper } = await revoked('the used one')
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await ca.world.pass(10_000)
    stop.abort()
    await running
    ca.world.giveToken()
    const restarted = await ca.start()
    const again = new AbortController()
    const ran = restarted.run(again.signal, open)
    await ca.world.pass(6000)
    expect([ca.world.server.count('attestNode'), restarted.state().kind]).toEqual([2, 'valid'])
    again.abort()
    await ran
  })

  it('is none that was taken away before it was sent', async () => {
    const { ca, keeper } = await revoked('nothing')
    await keeper.lookForToken()
    ca.world.giveToken()
    await keeper.lookForToken()
    expect(keeper.due(ca.world.clock.now())?.at).toBe(ca.world.clock.now())
    ca.world.files.content.delete('/etc/icp-agent/join-token')
    await keeper.attempt(never())
    expect([ca.world.server.count('attestNode'), keeper.state().kind]).toEqual([1, 'inactive'])
    expect(keeper.due(ca.world.clock.now())).toBeNull()
  })

  it('is used up by a server that still refuses the agent', async () => {
    const { ca, keeper } = await revoked('nothing')
    await keeper.lookForToken()
    ca.world.giveToken()
    await keeper.lookForToken()
    ca.world.server.fail('attestNode', REVOKED, { times: 1000 })
    await keeper.attempt(never())
    await keeper.attempt(never())
    await keeper.lookForToken()
    await keeper.attempt(never())
    expect([ca.world.server.count('attestNode'), keeper.state().kind]).toEqual([2, 'inactive'])
  })
})

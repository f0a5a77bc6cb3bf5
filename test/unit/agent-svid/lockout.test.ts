import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { refusal } from '../../fakes/control-plane.js'
import { MINUTE, never, open, TOKEN_FILE, World } from './world.js'

const HOUR = 60 * MINUTE
const LOCKED = 'Node is locked out'

describe('a node whose join token is gone', () => {
  it('says consumed after a lost answer, says it once, and does not ask again for half an hour', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.fail('attestNode', new AgentError('icp.timeout', 'no answer'), { when: 'after' })
    const keeper = world.keeper()
    await keeper.restore()
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    // The first key and its CSR take as long as the machine does.
    while (keeper.state().kind !== 'locked_out') await world.pass(5000, 5000)
    await world.pass(30 * MINUTE, 5000)
    expect(keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'agent.token_consumed' } })
    expect(world.server.count('attestNode')).toBe(2)
    expect(world.sinks.events('error')).toEqual([LOCKED])
    stop.abort()
    await running
    expect(world.clock.pending).toBe(0)
  })

  it('tells a token that was never good from one that it consumed', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.files.content.set(TOKEN_FILE, Buffer.from('made-up'))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'icp.unauthorized' } })
    // A refusal consumes nothing, so after a restart the wording is the same.
    const restarted = world.keeper()
    await restarted.restore()
    await restarted.attempt(never())
    expect(restarted.state().reason?.code).toBe('icp.unauthorized')
    expect(world.sinks.events('warn')).toEqual([])
  })

  it('without any token is told to get one', async () => {
    const world = await World.create({ generation: 'workspace' })
    const keeper = world.keeper({ joinTokenPath: null })
    await keeper.restore()
    await keeper.attempt(never())
    expect(keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'agent.locked_out' } })
    expect(keeper.state().reason?.message).toContain('agent.join_token_path')
  })

  it('without any token asks at a pace that slows down to ten minutes', async () => {
    const world = await World.create({ generation: 'workspace' })
    const keeper = world.keeper({ joinTokenPath: null })
    await keeper.restore()
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(60 * MINUTE, 5000)
    // 45 s, 90 s, 3 min, 6 min, then 7.5 min each.
    expect(world.server.calls.map(({ at }) => Math.round((at - (world.server.calls[0]?.at ?? 0)) / 1000))).toEqual([
      0, 45, 135, 315, 675, 1125, 1575, 2025, 2475, 2925, 3375,
    ])
    expect(world.sinks.events('error')).toEqual([LOCKED])
    stop.abort()
    await running
  })

  it('of type join_token without a token asks the server nothing', async () => {
    const world = await World.create({ generation: 'workspace', type: 'join_token' })
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'agent.locked_out' } })
    expect(world.server.calls).toEqual([])
  })

  it('after a 400 still has its token: a request that fails on its evidence does not burn it', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.fail('attestNode', refusal('icp.bad_request', 400))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(keeper.state().kind).toBe('starting')
    const restarted = world.keeper()
    await restarted.restore()
    expect(world.sinks.events()).toEqual([])
    await restarted.attempt(never())
    expect(restarted.state().kind).toBe('valid')
  })

  it('after a 5xx that burnt nothing uses its token', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.fail('attestNode', refusal('icp.server_error', 503))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
  })

  it('tries a single common name: the failed attempt has used the token up', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.fail('attestNode', refusal('icp.cn_refused', 500), { when: 'after' })
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(world.server.count('attestNode')).toBe(1)
    await keeper.attempt(never())
    expect(keeper.state().reason?.code).toBe('agent.token_consumed')
  })
})

describe('a new join token', () => {
  it('dropped into the file is picked up within seconds, without a restart', async () => {
    const world = await World.create({ generation: 'workspace' })
    const keeper = world.keeper()
    await keeper.restore()
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(20_000)
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['locked_out', 1])
    world.giveToken()
    await world.pass(6000)
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
    expect(world.sinks.events('info')).toEqual([
      'A new join token was found; attesting again',
      'Node attestation successful',
    ])
    stop.abort()
    await running
  })

  it('is left alone while nothing needs it', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    world.giveToken()
    await world.clock.advance('25m')
    await keeper.attempt(never())
    await keeper.lookForToken()
    expect([world.server.count('renewAgent'), world.server.count('attestNode')]).toEqual([1, 1])
  })

  it('that is the same text written again changes nothing', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.files.content.set(TOKEN_FILE, Buffer.from('made-up'))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    world.files.content.set(TOKEN_FILE, Buffer.from('  made-up \n'))
    await keeper.lookForToken()
    expect(keeper.state().kind).toBe('locked_out')
  })
})

describe('a node that the server no longer renews', () => {
  async function lockedOut() {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', refusal('icp.unauthorized', 401), { times: 1000 })
    await world.clock.advance('25m')
    return { world, keeper }
  }

  it('is locked out for want of a fresh token, serves on, and asks at a slow pace', async () => {
    const { world, keeper } = await lockedOut()
    const before = keeper.current()?.serial
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(30 * MINUTE, 5000)
    expect(keeper.state()).toMatchObject({ kind: 'locked_out', reason: { code: 'agent.locked_out' } })
    expect(keeper.current()?.serial).toBe(before)
    expect(world.server.count('attestNode')).toBe(2)
    // Within six minutes at a growing distance of up to 45 s, then each ten minutes.
    expect(world.server.count('renewAgent')).toBeLessThanOrEqual(12 + 6)
    expect(world.sinks.events('error')).toEqual([LOCKED])
    await world.pass(10 * MINUTE, 5000)
    expect([keeper.current(), keeper.state().kind]).toEqual([null, 'locked_out'])
    expect(world.sinks.events('error')).toEqual([LOCKED, 'Agent SVID expired'])
    const asked = world.server.count('attestNode')
    await world.pass(25 * MINUTE, 5000)
    expect(world.server.count('attestNode') - asked).toBeLessThanOrEqual(1)
    stop.abort()
    await running
  })

  it('is free again as soon as a renewal passes', async () => {
    const { world, keeper } = await lockedOut()
    await keeper.attempt(never())
    await world.clock.advance('6m')
    await keeper.attempt(never())
    await keeper.attempt(never())
    expect(keeper.state().kind).toBe('locked_out')
    world.server.clearFaults()
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
  })

  it('is free again with a fresh token', async () => {
    const { world, keeper } = await lockedOut()
    await keeper.attempt(never())
    await world.clock.advance('6m')
    await keeper.attempt(never())
    await keeper.attempt(never())
    world.giveToken()
    await keeper.lookForToken()
    expect(keeper.due(world.clock.now())).toMatchObject({ at: world.clock.now(), tier: 'bootstrap' })
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 3])
  })
})

describe('a node that needs no join token, on a server that renews nothing', () => {
  it.each([1, 3])('outlives refusals in a row: it attests before its identity ends (%d)', async (times) => {
    const world = await World.create({ generation: 'tenant', joinTokenPath: null })
    const keeper = await world.attested()
    world.server.fail('attestNode', refusal('icp.unauthorized', 401), { times })
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    let lapses = 0
    for (let minute = 0; minute < 90; minute++) {
      await world.pass(MINUTE, 5000)
      if (keeper.current() === null) lapses++
    }
    expect([lapses, keeper.state().kind]).toEqual([0, 'valid'])
    // One at the start, those that were refused, and one per life.
    expect(world.server.count('attestNode')).toBeLessThanOrEqual(times + 5)
    stop.abort()
    await running
  })

  it('is asked at a pace that slows down to ten minutes while it lets nobody attest', async () => {
    const world = await World.create({ generation: 'tenant', joinTokenPath: null })
    const keeper = await world.attested()
    world.server.fail('attestNode', refusal('icp.unauthorized', 401), { times: 1000 })
    await world.clock.advance('25m')
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(30 * MINUTE, 5000)
    expect(keeper.state().kind).toBe('locked_out')
    expect(world.server.count('attestNode')).toBeLessThanOrEqual(1 + 7)
    expect(world.server.count('renewAgent')).toBeLessThanOrEqual(1 + 7)
    stop.abort()
    await running
  })
})

describe('a clock that jumps ahead and is set right again', () => {
  it.each([5, 15, 20, 23])(
    'at minute %d costs the node nothing: the lock-out does not hold back the renewal',
    async (at) => {
      const world = await World.create({ generation: 'workspace' })
      world.giveToken()
      const keeper = world.keeper()
      await keeper.restore()
      const stop = new AbortController()
      const running = keeper.run(stop.signal, open)
      await world.pass(at * MINUTE, 10_000)
      await world.clock.jump('2h')
      await world.pass(20_000)
      expect(keeper.state().kind).toBe('locked_out')
      await world.clock.jump('-2h')
      await world.pass((26 - at) * MINUTE, 10_000)
      expect([keeper.state().kind, world.server.count('renewAgent')]).toEqual(['valid', 1])
      await world.pass(HOUR, 10_000)
      expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
      stop.abort()
      await running
    },
  )

  it('while the server is away for a moment, renews within a minute', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = world.keeper()
    await keeper.restore()
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(23 * MINUTE, 10_000)
    await world.clock.jump('2h')
    await world.pass(20_000)
    world.server.fail('renewAgent', new AgentError('icp.unreachable', 'away'), { times: 2 })
    await world.clock.jump('-2h')
    await world.pass(5 * MINUTE, 1000)
    expect([keeper.state().kind, world.server.count('renewAgent')]).toEqual(['valid', 3])
    stop.abort()
    await running
  })

  const ahead = async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const start = world.clock.now() - world.clock.monotonic()
    world.skew = () => start - (world.clock.now() - world.clock.monotonic())
    const keeper = await world.attested()
    return { world, keeper }
  }

  it('spends no join token where the server shows that the certificate has not ended', async () => {
    const { world, keeper } = await ahead()
    world.giveToken()
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.clock.jump('2h')
    await world.pass(10 * MINUTE, 10_000)
    expect(keeper.state()).toMatchObject({ kind: 'expired', reason: { code: 'agent.no_identity' } })
    expect(world.server.count('attestNode')).toBe(1)
    await world.clock.jump('-2h')
    expect(keeper.state().kind).toBe('valid')
    await world.pass(HOUR, 10_000)
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
    stop.abort()
    await running
  })

  it('is no reason to wait once the certificate has ended by the server too', async () => {
    const { world, keeper } = await ahead()
    world.server.fail('renewAgent', refusal('icp.server_error', 503), { times: 1000 })
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.clock.jump('2h')
    await world.pass(59 * MINUTE, 10_000)
    expect(world.server.count('attestNode')).toBe(1)
    await world.pass(2 * MINUTE, 10_000)
    expect(world.server.count('attestNode')).toBeGreaterThan(1)
    stop.abort()
    await running
  })

  it('is no reason to wait where no join token is at stake', async () => {
    const { world } = await ahead()
    const tokenless = world.keeper({ joinTokenPath: null })
    await tokenless.restore()
    await world.clock.jump('2h')
    expect(tokenless.due(world.clock.now())).toMatchObject({ at: world.clock.now(), tier: 'bootstrap' })
  })
})

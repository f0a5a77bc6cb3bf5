import { getEventListeners } from 'node:events'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { settle } from '../../fakes/clock.js'
import { rateLimited } from '../../fakes/control-plane.js'
import { HOUR, MINUTE, SyncWorld, serverError, type WorldOptions } from './sync-world.js'

const running: { world: SyncWorld; loop: Promise<void> }[] = []
afterEach(async () => {
  for (const { world, loop } of running.splice(0)) {
    world.stop.abort()
    await loop
  }
})

/** A loop that runs, with entries of one uid each. */
async function start(
  ids: readonly string[],
  options: WorldOptions = {},
  prepare: (world: SyncWorld) => void = () => {},
  jwtKeys?: Parameters<SyncWorld['run']>[0],
) {
  const world = await SyncWorld.create(options)
  for (const id of ids) world.server.addEntry({ id, path: `/${id}`, selectors: { 'unix:path': `/bin/${id}` } })
  prepare(world)
  const loop = world.run(jwtKeys)
  running.push({ world, loop })
  await world.quiet()
  const want = (...wanted: string[]) => {
    const use = world.demand.use(1000)
    use.entries(wanted)
    return use
  }
  const stop = async () => {
    world.stop.abort(new AgentError('agent.stopping', 'the agent is stopping'))
    await loop
    running.length = 0
  }
  return { world, loop, want, stop }
}

/** The limit around everything was met. */
const serviceLimited = () =>
  new AgentError('icp.rate_limited', 'too many requests', {
    details: { status: 429, retryAfterMs: MINUTE, tier: 'service' },
  })
const times = (world: SyncWorld, method: string) =>
  world.server.calls.filter((call) => call.method === method).map(({ at }) => at)

describe('the loop', () => {
  it('reads the entries at once, and again every half minute', async () => {
    const { world } = await start(['a'])
    expect(world.store.current.synced).toBe(true)
    const begin = world.clock.now()
    await world.pass(95_000)
    expect(times(world, 'entries').map((at) => (at - begin) / 1000)).toEqual([0, 30, 60, 90])
  })

  it('takes nothing away in two minutes of empty lists from a server that still issues, and asks it once a minute', async () => {
    const { world, want } = await start(['a', 'b'])
    want('a', 'b')
    await world.pass(10_000)
    const began = world.clock.now()
    const list = world.server.entries.bind(world.server)
    world.server.entries = async () => ({ unchanged: false, entries: [], rejected: [] })
    await world.pass(2 * MINUTE)
    expect([...world.store.current.entries.keys()].sort()).toEqual(['a', 'b'])
    expect([world.state('a')?.kind, world.state('b')?.kind]).toEqual(['issued', 'issued'])
    const probes = times(world, 'signWorkload').filter((at) => at > began)
    expect(probes.length).toBeGreaterThan(0)
    expect(probes.every((at, i) => i === 0 || at - (probes[i - 1] ?? 0) >= MINUTE)).toBe(true)
    world.server.entries = list
    await world.pass(MINUTE)
    expect(world.sinks.events('info')).toContain('Entry sync returns known entries again')
  })

  it('issues what is wanted, as soon as it is, and nothing else', async () => {
    const { world, want } = await start(['a', 'b'])
    await world.pass(10_000)
    expect(world.server.count('signWorkload')).toBe(0)
    want('a')
    await world.quiet()
    expect(world.state('a')?.kind).toBe('issued')
    expect(world.state('b')).toBeUndefined()
  })

  it('renews at its time, for as long as somebody uses it and an hour more', async () => {
    const { world, want } = await start(['a'])
    const begin = world.clock.now()
    const use = want('a')
    await world.pass(70 * MINUTE, 5_000)
    const minutes = () => times(world, 'signWorkload').map((at) => Math.round((at - begin) / MINUTE))
    expect(minutes()).toEqual([0, 25, 49])
    use[Symbol.dispose]()
    await world.pass(3 * HOUR, 5_000)
    expect(minutes()).toEqual([0, 25, 49, 74, 98, 123])
    expect(world.state('a')).toEqual({ kind: 'wanted', expired: true })
  })

  it('has three requests under way at most, and each entry once', async () => {
    const ids = Array.from({ length: 7 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids)
    world.server.latencyMs = 2_000
    want(...ids)
    await world.pass(1_000)
    expect([world.server.asleep, world.sync.most]).toEqual([3, 3])
    await world.pass(20_000)
    expect(world.sync.most).toBe(3)
    expect(world.server.count('signWorkload')).toBe(7)
    expect(ids.every((id) => world.state(id)?.kind === 'issued')).toBe(true)
  })

  it('stays below the limits of the server, whatever is wanted', async () => {
    const ids = Array.from({ length: 60 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids)
    const begin = world.clock.now()
    want(...ids)
    await world.pass(MINUTE)
    const asked = [...times(world, 'signWorkload'), ...times(world, 'entries')].filter((at) => at <= begin + MINUTE)
    expect(asked.length).toBeLessThanOrEqual(8 + 27)
    expect(asked.length).toBeGreaterThan(25)
  })

  it.each([100, 2_000])('issues at once what is wanted, at a sync interval of %d ms', async (syncMs) => {
    const ids = Array.from({ length: 12 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids, { syncMs })
    await world.pass(2 * MINUTE, 500)
    const begin = world.clock.now()
    for (const id of ids) {
      want(id)
      await world.pass(5_000, 500)
      expect(world.state(id)?.kind).toBe('issued')
    }
    const reads = times(world, 'entries').filter((at) => at > begin)
    expect(reads.length).toBeGreaterThan(6)
    expect(reads.length).toBeLessThanOrEqual(9 + 2)
  })

  it('lets reads of entries wait for callers, but for no more than a minute', async () => {
    const ids = Array.from({ length: 120 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids)
    const begin = world.clock.now()
    want(...ids)
    await world.pass(4 * MINUTE)
    const reads = times(world, 'entries').map((at) => (at - begin) / 1000)
    expect(reads[1]).toBeGreaterThanOrEqual(30 + 60)
    for (const [n, at] of reads.slice(1).entries()) expect(at - (reads[n] ?? 0)).toBeLessThan(30 + 60 + 3)
  })

  it('polls bundles with a third of the requests at most, however short their interval', async () => {
    const refresh = vi.fn(async () => undefined)
    const ids = Array.from({ length: 30 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids, { bundleMs: 100 }, () => undefined, { refresh })
    want(...ids)
    const before = times(world, 'bundle').length + refresh.mock.calls.length
    await world.pass(2 * MINUTE, 500)
    expect(times(world, 'bundle').length + refresh.mock.calls.length - before).toBeLessThanOrEqual((2 * 72) / 3)
    expect(ids.filter((id) => world.state(id)?.kind === 'issued')).toEqual(ids)
  })

  it('counts the time that it waited for a slot, and no more than that', async () => {
    const ids = Array.from({ length: 20 }, (_, n) => `e${n}`)
    const { world, want } = await start(ids)
    want(...ids)
    await world.pass(MINUTE)
    const waited = world.sinks.total('icp_agent_rate_limit_wait_seconds_total')
    expect(waited).toBeGreaterThan(20)
    expect(waited).toBeLessThan(35)
  })

  it('reads the entries every ten minutes at least, though each poll of the bundle meets a 429', async () => {
    const { world } = await start(['a'], {}, ({ server }) => {
      server.fail('bundle', serviceLimited(), { times: 1_000 })
    })
    await world.pass(2 * HOUR, 5_000)
    const before = times(world, 'entries').length
    await world.pass(3 * HOUR, 5_000)
    expect(times(world, 'entries').length - before).toBeGreaterThanOrEqual(16)
  })

  it('tries a first read that met a 429 again when the pause is over, each time', async () => {
    const { world } = await start([], {}, ({ server }) => {
      server.fail('entries', rateLimited(), { times: 4 })
    })
    const begin = times(world, 'entries')[0] ?? 0
    await world.pass(5 * MINUTE)
    expect(times(world, 'entries').map((at) => Math.round((at - begin) / MINUTE))).toEqual([0, 1, 2, 3, 4])
    expect(world.store.current.synced).toBe(true)
  })

  it('renews in time though every read of the entries meets a 429', async () => {
    const { world, want } = await start(['a', 'b'])
    want('a', 'b')
    await world.pass(30_000)
    world.server.fail('entries', rateLimited(), { times: 10_000 })
    await world.pass(3 * HOUR, 5_000)
    expect(world.sinks.events('error')).toEqual([])
    expect([world.state('a')?.kind, world.state('b')?.kind]).toEqual(['issued', 'issued'])
    expect(times(world, 'entries').length).toBeGreaterThanOrEqual(18)
  })

  it('revokes what a server that failed did not, between two reads of the entries', async () => {
    const { world, want } = await start(['a', 'b'], { revokeRemoved: true })
    const use = want('a')
    await world.pass(1_000)
    const { serial } = world.svid('a')
    use[Symbol.dispose]()
    world.schedule.limited()
    world.server.removeEntry('a')
    world.server.fail('revokeWorkload', serverError(503))
    await world.pass(110_000)
    const [first = 0, second = 0] = times(world, 'revokeWorkload')
    expect((second - first) / 1000).toBe(30)
    expect(times(world, 'entries').filter((at) => at > first && at <= second)).toEqual([])
    expect(world.server.revoked).toEqual([serial])
  })

  it('stops for as long as a 429 says, and then goes on', async () => {
    const { world, want } = await start(['a'])
    world.server.fail('signWorkload', rateLimited())
    want('a')
    const begin = world.clock.now()
    await world.pass(2 * MINUTE)
    const asked = [...times(world, 'signWorkload'), ...times(world, 'entries')].map((at) => at - begin)
    expect(asked.filter((at) => at > 0 && at < MINUTE)).toEqual([])
    expect(world.state('a')?.kind).toBe('issued')
  })

  it('asks nothing while the agent has no identity, and begins when it has one', async () => {
    const { world } = await start(['a'], {}, (before) => {
      before.agent = null
    })
    await world.pass(MINUTE)
    expect([world.server.count('entries'), world.server.count('signWorkload')]).toEqual([0, 0])
    world.setAgent(world.server.agent)
    await world.quiet()
    expect(world.server.count('entries')).toBe(1)
  })

  it('stands back while the agent’s own renewal waits for a slot', async () => {
    const { world, want } = await start(['a'])
    world.limiter.limited('bootstrap', 10_000)
    const slot = world.limiter.whenOpen('bootstrap', world.stop.signal, async () => undefined, { urgent: true })
    want('a')
    await world.pass(9_000)
    // Its own tier has slots.
    expect([world.limiter.opensIn('standard'), world.server.count('signWorkload')]).toEqual([0, 0])
    await world.pass(2_000)
    await slot
    await world.pass(5_000)
    expect(world.state('a')?.kind).toBe('issued')
  })
})

describe('while the server is away', () => {
  it('what is held is served until it ends, and not a moment longer', async () => {
    const { world, want } = await start(['a'], { svidTtlMs: 10 * MINUTE })
    want('a')
    await world.quiet()
    const { notAfter } = world.svid('a')
    world.server.fail('signWorkload', new AgentError('icp.unreachable', 'away'), { times: 10_000 })
    world.server.fail('entries', new AgentError('icp.unreachable', 'away'), { times: 10_000 })
    await world.pass(notAfter - world.clock.now() - 1)
    expect(world.state('a')?.kind).toBe('issued')
    await world.clock.advance(1)
    expect(world.state('a')).toMatchObject({ kind: 'wanted', expired: true })
    expect(world.sinks.events('error')).toEqual(['Workload SVID expired before it could be renewed'])
    world.server.clearFaults()
    await world.pass(2 * MINUTE)
    expect(world.state('a')?.kind).toBe('issued')
  })

  it('asks ever less, and at once when it answers again', async () => {
    const { world, want } = await start(['a'])
    world.server.fail('signWorkload', new AgentError('icp.unreachable', 'away'), { times: 10_000 })
    want('a')
    await world.pass(10 * MINUTE)
    const asked = world.server.count('signWorkload')
    expect(asked).toBeLessThan(40)
    world.server.clearFaults()
    await world.pass(30_000)
    expect(world.state('a')?.kind).toBe('issued')
  })
})

describe('a stop', () => {
  it('ends the loop and leaves nothing behind', async () => {
    const { world, want, stop } = await start(['a', 'b'])
    want('a')
    await world.pass(MINUTE)
    await stop()
    expect(world.clock.pending).toBe(0)
    expect(world.listeners).toBe(0)
    expect(getEventListeners(world.stop.signal, 'abort')).toHaveLength(0)
    expect(world.sync.busy).toBe(0)
  })

  it('ends requests that are under way, and says nothing of them', async () => {
    const { world, want, stop } = await start(['a', 'b'])
    world.server.latencyMs = 20_000
    want('a', 'b')
    await world.pass(2_000)
    expect(world.server.asleep).toBeGreaterThan(0)
    const lines = world.sinks.lines.length
    await stop()
    expect([world.server.asleep, world.sync.busy, world.clock.pending]).toEqual([0, 0, 0])
    expect(world.sinks.lines).toHaveLength(lines)
  })
})

describe('a defect of ours', () => {
  it('ends the loop with it, after everything else has come to an end', async () => {
    const world = await SyncWorld.create()
    world.server.addEntry({ id: 'a', path: '/a', selectors: { 'unix:uid': '1' } })
    const loop = world.run()
    const ended = loop.catch((error: unknown) => error)
    await world.quiet()
    world.server.fail('signWorkload', new TypeError('a defect'))
    world.demand.use(1000).entries(['a'])
    await world.quiet()
    await settle()
    expect(await ended).toMatchObject({ message: 'a defect' })
    expect([world.clock.pending, world.sync.busy, world.listeners]).toEqual([0, 0, 0])
  })

  it('of the polls ends it as well', async () => {
    const world = await SyncWorld.create()
    const ended = world
      .run({ refresh: () => Promise.reject(new TypeError('a defect')) })
      .catch((error: unknown) => error)
    await world.pass(5_000)
    expect(await ended).toMatchObject({ message: 'a defect' })
    expect(world.clock.pending).toBe(0)
  })
})

describe('a server error', () => {
  it('of one entry keeps no other from being issued', async () => {
    const { world, want } = await start(['a', 'b'])
    world.server.fail('signWorkload', serverError())
    want('a')
    await world.quiet()
    want('b')
    await world.quiet()
    expect(world.state('b')?.kind).toBe('issued')
    await world.pass(10_000)
    expect(world.state('a')?.kind).toBe('issued')
  })
})

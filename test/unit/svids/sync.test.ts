import { createPublicKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import type { IssuedCertificate } from '../../../agent/icp/control-plane.js'
import { TestCa } from '../../fakes/ca.js'
import { rateLimited, refusal } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'
import { HOUR, MINUTE, SyncWorld, serverError, TRUST_DELAY } from './sync-world.js'

const MINE = { 'unix:uid': '1000' }

async function worldWith(...ids: string[]) {
  const world = await SyncWorld.create()
  for (const id of ids) world.server.addEntry({ id, path: `/${id}`, selectors: { ...MINE, 'unix:path': `/bin/${id}` } })
  await world.synced()
  return world
}

describe('entry sync', () => {
  it('puts the entries in force and says when it was', async () => {
    const world = await worldWith('a', 'b')
    expect(world.store.current.synced).toBe(true)
    expect([...world.store.current.entries.keys()]).toEqual(['a', 'b'])
    expect(world.sync.lastSync).toBe(world.clock.now())
    expect(world.sinks.events('info')).toContain('Registration entries changed')
  })

  it('does nothing where nothing changed', async () => {
    const world = await worldWith('a')
    const { entries } = world.store.current
    const publications = world.published.length
    await world.synced()
    expect(world.store.current.entries).toBe(entries)
    expect(world.published).toHaveLength(publications)
  })

  it('keeps everything where it fails, and comes back soon', async () => {
    const world = await worldWith('a')
    world.server.fail('entries', serverError(503))
    await world.synced()
    expect(world.store.current.entries.size).toBe(1)
    expect(world.schedule.dueIn()).toBe(5_000)
    expect(world.sinks.events('warn')).toEqual(['Entry sync failed'])
  })

  it('stretches after a 429, which is no failure', async () => {
    const world = await worldWith('a')
    world.server.fail('entries', rateLimited())
    await world.synced()
    expect(world.schedule.intervalMs).toBeGreaterThan(60_000)
    expect(world.limiter.opensIn('standard')).toBe(MINUTE)
    expect(world.sinks.events('warn')).toEqual([])
  })

  it('doubts a list that withdraws everything until the server itself knows the entry no more', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    world.server.removeEntry('a')
    await world.synced()
    expect(world.svid('a')).toBeDefined()
    expect(world.schedule.dueIn()).toBe(5_000)
    await world.synced()
    expect(world.store.current.entries.size).toBe(0)
    expect(world.state('a')).toBeUndefined()
  })

  it('keeps what a sick server merely does not list', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    world.server.removeEntry('a')
    world.server.fail('signWorkload', serverError(), { times: 9 })
    for (let i = 0; i < 5; i++) await world.synced()
    expect(world.svid('a')).toBeDefined()
  })

  it('leaves nothing of an entry behind: not its state, not its spell of failures', async () => {
    const world = await worldWith('a', 'b')
    world.server.fail('signWorkload', serverError())
    await world.issue('a')
    world.server.removeEntry('a')
    await world.synced()
    expect([...world.store.current.states.keys()]).toEqual([])
  })
})

describe('an issuance', () => {
  it('asks with exactly the entry’s selectors, and publishes the bundle before the SVID', async () => {
    const world = await worldWith('a')
    world.published.length = 0
    await world.issue('a')
    const call = world.server.calls.find(({ method }) => method === 'signWorkload')
    expect(call?.request).toMatchObject({
      selectors: new Map([
        ['unix:uid', '1000'],
        ['unix:path', '/bin/a'],
      ]),
    })
    expect(world.svid('a').spiffeId.uri).toBe(`spiffe://${world.server.tenantId}/a`)
    expect(world.published).toEqual([
      { entries: new Set(), bundles: true },
      { entries: new Set(['a']), bundles: false },
    ])
  })

  it('is due for renewal with 35 minutes left at least', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    const state = world.state('a')
    if (state?.kind !== 'issued') throw new TypeError('it is not issued')
    expect(state.held.svid.notAfter - state.held.renewAt).toBeGreaterThanOrEqual(35 * MINUTE)
  })

  it('that meets a 429 changes nothing and counts as no failure', async () => {
    const world = await worldWith('a')
    world.server.fail('signWorkload', rateLimited())
    await world.issue('a')
    expect(world.state('a')).toBeUndefined()
    expect(world.sync.issuesIn).toBe(0)
    expect(world.limiter.opensIn('standard')).toBe(MINUTE)
  })

  it('that fails leaves what is served, and is tried again later each time', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    const before = world.svid('a')
    const waits: number[] = []
    world.server.fail('signWorkload', serverError(), { times: 3 })
    for (let i = 0; i < 3; i++) {
      await world.issue('a')
      const state = world.state('a')
      if (state?.kind === 'issued') waits.push((state.failures?.retryAt ?? 0) - world.clock.now())
    }
    expect(waits).toEqual([3_750, 7_500, 15_000])
    expect(world.svid('a')).toBe(before)
    await world.issue('a')
    expect(world.state('a')).not.toHaveProperty('failures')
  })

  it('never makes the default identity hopeless because the server issues nothing to anybody', async () => {
    const world = await worldWith('a', 'b')
    world.server.fail('signWorkload', serverError(), { times: 8 })
    for (let i = 0; i < 4; i++) for (const id of ['a', 'b']) await world.issue(id)
    expect([world.state('a')?.kind, world.state('b')?.kind]).toEqual(['wanted', 'wanted'])
    await world.issue('b')
    expect(world.state('a')?.kind).toBe('wanted')
  })

  it('makes an entry hopeless that fails while others are issued', async () => {
    const world = await worldWith('a', 'b')
    const failing = async () => {
      world.server.fail('signWorkload', serverError())
      await world.issue('a')
      await world.clock.advance('1s')
    }
    await failing()
    await world.issue('b')
    await failing()
    await failing()
    expect(world.state('a')).toMatchObject({ kind: 'refused', code: 'icp.server_error' })
  })

  it('that fails in another trust domain than others are issued in is named with that, and tried seldom', async () => {
    const world = await SyncWorld.create({ workloadTrustDomain: 'acme.example' })
    world.server.addEntry({ id: 'web', path: '/web', selectors: { ...MINE, 'unix:path': '/bin/web' } })
    const trustDomain = world.server.tenantId
    world.server.addEntry({ id: 'ai', path: '/agent/1', selectors: { ...MINE, 'unix:path': '/bin/ai' }, trustDomain })
    await world.synced()
    await world.issue('ai')
    expect(world.state('ai')).toMatchObject({ kind: 'wanted', failures: { code: 'icp.server_error' } })
    await world.clock.advance('1s')
    await world.issue('web')
    await world.issue('ai')
    const refused = world.state('ai')
    expect(refused).toMatchObject({ kind: 'refused', code: 'entry.trust_domain' })
    if (refused?.kind !== 'refused') return
    expect(refused.message).toContain(`trust domain ${trustDomain}`)
    expect(refused.message).toContain('acme.example')
    expect(refused.until - world.clock.now()).toBeGreaterThan(15_000)
  })

  it('that failed is tried anew once another CA issues, and once another trust domain is seen', async () => {
    const world = await worldWith('a', 'b')
    for (let i = 0; i < 3; i++) {
      world.server.fail('signWorkload', serverError())
      await world.issue('a')
      await world.clock.advance('1s')
      await world.issue('b')
    }
    expect(world.state('a')).toMatchObject({ kind: 'refused', failures: { own: 2 } })
    await world.server.rotateCa()
    await world.issue('b')
    expect(world.state('a')).toMatchObject({ kind: 'refused', until: 0, failures: { count: 0 } })
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
  })

  it('that fails while others are issued closes nothing for them', async () => {
    const world = await worldWith('a', 'b', 'c', 'fine')
    for (let i = 0; i < 6; i++) {
      world.server.fail('signWorkload', serverError(), { times: 3 })
      for (const id of ['a', 'b', 'c']) await world.issue(id)
      await world.clock.advance('1s')
      await world.issue('fine')
    }
    world.server.fail('signWorkload', serverError(), { times: 3 })
    for (const id of ['a', 'b', 'c']) await world.issue(id)
    expect(world.sync.issuesIn).toBe(0)
  })

  it.each([
    ['removed', false],
    ['given another name', true],
  ])('of an entry that is %s meanwhile is thrown away, whether it works or not', async (_how, renamed) => {
    for (const fails of [false, true]) {
      const world = await worldWith('a', 'b')
      world.server.latencyMs = 5_000
      if (fails) world.server.fail('signWorkload', serverError())
      const issuing = world.issue('a')
      for (let turn = 0; turn < 500 && world.server.asleep === 0; turn++) await world.clock.advance(0)
      world.server.removeEntry('a')
      if (renamed) world.server.addEntry({ id: 'a', path: '/another', selectors: MINE })
      const syncing = world.synced()
      await world.clock.advance('5s')
      await Promise.all([issuing, syncing])
      expect(world.store.current.entries.has('a')).toBe(renamed)
      expect(world.state('a')).toBeUndefined()
    }
  })

  it('ends with the reason of the signal and says nothing', async () => {
    const world = await worldWith('a')
    const lines = world.sinks.lines.length
    world.server.latencyMs = 5_000
    const issuing = world.issue('a')
    const syncing = world.synced()
    const polling = world.sync.pollBundle(world.stop.signal)
    const reason = new AgentError('agent.stopping', 'the agent is stopping')
    world.stop.abort(reason)
    for (const job of [issuing, syncing, polling]) await expect(job).rejects.toBe(reason)
    expect(world.state('a')).toBeUndefined()
    expect(world.sinks.lines).toHaveLength(lines)
    expect(world.clock.pending).toBe(0)
  })

  it('is charged in the turn in which it is planned, while its key is still being made', async () => {
    const world = await SyncWorld.create()
    world.server.addEntry({ id: 'a', path: '/a', selectors: MINE })
    await world.synced()
    for (let i = 0; i < 6; i++) world.limiter.charge('standard')
    expect(world.limiter.opensIn('standard')).toBe(0)
    const issuing = world.issue('a')
    // Nobody else sees the slot that it is for.
    expect(world.limiter.opensIn('standard')).toBeGreaterThan(0)
    await issuing
    expect(world.svid('a')).toBeDefined()
  })

  it('is charged for every common name that it tries', async () => {
    const world = await SyncWorld.create({
      withCommonName: (attempt) => attempt('refused').catch(() => attempt('svid@localhost')),
    })
    world.server.addEntry({ id: 'a', path: '/a', selectors: MINE })
    await world.synced()
    world.server.fail('signWorkload', serverError())
    // One slot is left of the burst of eight: entry sync took one.
    for (let i = 0; i < 6; i++) world.limiter.charge('standard')
    expect(world.limiter.opensIn('standard')).toBe(0)
    await world.issue('a')
    expect(world.svid('a')).toBeDefined()
    expect(world.limiter.opensIn('standard')).toBeGreaterThan(0)
  })
})

describe('a wrong certificate is never served', () => {
  type Tampering = (world: SyncWorld) => Promise<(answer: IssuedCertificate) => IssuedCertificate>
  /** The answer with a leaf that our own CA made, wrong in one way. */
  const leaf =
    (
      wish: Parameters<TestCa['issue']>[1] extends infer W ? (world: SyncWorld) => Partial<W> : never,
      key = 0,
    ): Tampering =>
    async (world) => {
      const now = world.clock.now()
      const der = await world.server.ca.issue(createPublicKey(await rsaKey(key)), {
        names: [{ type: 'url', value: `spiffe://${world.server.tenantId}/a` }],
        notBefore: now - MINUTE,
        notAfter: now + HOUR,
        ...wish(world),
      })
      return (answer) => ({ ...answer, chain: [der] })
    }
  const uri = (value: string) => ({ type: 'url' as const, value })

  it.each<[string, Tampering, string]>([
    [
      'the answer names another entry',
      async () => (a) => ({ ...a, spiffeId: 'spiffe://example.org/b' }),
      'entry.shadowed',
    ],
    ['there is none', async () => (a) => ({ ...a, chain: [] }), 'svid.invalid'],
    ['it is no certificate', async () => (a) => ({ ...a, chain: [Buffer.from('garbage')] }), 'svid.invalid'],
    ['it is for another key', leaf(() => ({}), 5), 'svid.invalid'],
    ['it is for another SPIFFE ID', leaf(() => ({ names: [uri('spiffe://example.org/b')] })), 'svid.invalid'],
    ['it has no SPIFFE ID', leaf(() => ({ names: [{ type: 'dns', value: 'localhost' }] })), 'svid.invalid'],
    [
      'it has two',
      leaf(({ server }) => ({ names: [uri(`spiffe://${server.tenantId}/a`), uri('spiffe://example.org/b')] })),
      'svid.invalid',
    ],
    ['it has expired', leaf(({ clock }) => ({ notAfter: clock.now() - 1 })), 'svid.invalid'],
    ['it is not valid yet', leaf(({ clock }) => ({ notBefore: clock.now() + 10 * MINUTE })), 'svid.invalid'],
    ['it is a CA', leaf(() => ({ ca: {} })), 'svid.invalid'],
    ['it may sign nothing', leaf(() => ({ keyUsage: null })), 'svid.invalid'],
    [
      'nobody knows its issuer',
      async ({ clock }) => {
        const other = await TestCa.create('Other', { notBefore: clock.now() - HOUR, notAfter: clock.now() + HOUR })
        return (a) => ({ ...a, bundle: [other.der] })
      },
      'svid.issuer_unknown',
    ],
  ])('%s', async (_what, tampering, code) => {
    const world = await worldWith('a')
    // FixedKeys hands out key 0 first, then 1, then 0 again.
    const tamper = await tampering(world)
    world.server.tamper.issued = tamper
    await world.issue('a')
    expect(world.state('a')?.kind).not.toBe('issued')
    expect(world.sinks.total('icp_agent_issuances_total', { outcome: code })).toBe(1)
    expect(world.store.current.bundles.size).toBe(0)
    delete world.server.tamper.issued
    await world.issue('a')
    const good = world.svid('a')
    world.server.tamper.issued = tamper
    await world.issue('a')
    expect(world.svid('a')).toBe(good)
  })
})

describe('a new authority', () => {
  it('is in the bundles at once, and its SVIDs wait while the old ones live', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    const old = world.svid('a')
    await world.server.rotateCa()
    await world.clock.advance('10m')
    await world.issue('a')
    expect(world.svid('a')).toBe(old)
    expect(world.store.current.bundles.get(world.server.tenantId)?.authorities).toHaveLength(2)
    const next = world.sync.tick()
    expect(next).toBe(world.clock.now() + TRUST_DELAY)
    await world.clock.advance(TRUST_DELAY)
    world.sync.tick()
    expect(world.svid('a').authority).not.toBe(old.authority)
  })

  it('is served at once where there is nothing else', async () => {
    const world = await worldWith('a', 'b')
    await world.issue('a')
    await world.server.rotateCa()
    await world.issue('b')
    expect(world.svid('b')).toBeDefined()
  })
})

describe('the published bundle', () => {
  it('makes authorities known, and a server without one changes nothing', async () => {
    const world = await SyncWorld.create()
    const poll = () => world.sync.pollBundle(world.stop.signal)
    await poll()
    expect([...world.store.current.bundles.keys()]).toEqual([world.server.tenantId])
    const { bundles } = world.store.current
    for (const error of [refusal('icp.not_found', 404), serverError(), rateLimited()]) {
      world.server.fail('bundle', error)
      await poll()
    }
    await poll()
    expect(world.store.current.bundles).toBe(bundles)
  })
})

describe('a bundle that knows none of the issuers in use', () => {
  it('replaces none of them for as long as an SVID of theirs is in use', async () => {
    const world = await worldWith('a')
    await world.issue('a')
    const { authority, notAfter } = world.svid('a')
    await world.server.rotateCa()
    for (let polls = 0; polls < 3; polls++) await world.sync.pollBundle(world.stop.signal)
    const served = () =>
      world.store.current.bundles.get(world.server.tenantId)?.authorities.map(({ fingerprint }) => fingerprint)
    expect(served()).toHaveLength(2)
    expect(served()).toContain(authority)
    expect(world.sinks.events('warn')).toEqual([])
    while (world.clock.now() < notAfter) {
      expect(served()).toContain(authority)
      await world.clock.advance('5m')
      await world.sync.pollBundle(world.stop.signal)
      world.sync.tick()
    }
    await world.clock.advance('2h')
    await world.sync.pollBundle(world.stop.signal)
    world.sync.tick()
    expect(served()).not.toContain(authority)
  })
})

describe('time', () => {
  it('takes expired SVIDs out of service, and says so where they were in use', async () => {
    const world = await worldWith('a', 'b')
    await world.issue('a')
    await world.issue('b')
    world.demand.use(1000).entries(['a'])
    expect(world.sync.tick()).toBe(world.svid('a').notAfter)
    await world.clock.advance('1h')
    world.sync.tick()
    expect([world.state('a'), world.state('b')]).toEqual([
      { kind: 'wanted', expired: true },
      { kind: 'wanted', expired: true },
    ])
    expect(world.sinks.events('error')).toEqual(['Workload SVID expired before it could be renewed'])
  })
})

describe('SVIDs of removed entries', () => {
  it('are revoked where that is wanted, and stay in the queue through a 429', async () => {
    const world = await SyncWorld.create({ revokeRemoved: true })
    for (const id of ['a', 'b']) world.server.addEntry({ id, path: `/${id}`, selectors: MINE })
    await world.synced()
    await world.issue('a')
    const { serial } = world.svid('a')
    world.server.removeEntry('a')
    await world.synced()
    expect(world.sync.revocations.serials).toEqual([serial])
    world.server.fail('revokeWorkload', rateLimited())
    await world.sync.revocations.revoke(serial, world.stop.signal)
    expect(world.sync.revocations.serials).toEqual([serial])
    await world.sync.revocations.revoke(serial, world.stop.signal)
    expect([world.sync.revocations.serials, world.server.revoked]).toEqual([[], [serial]])
  })

  it('are left alone where it is not', async () => {
    const world = await worldWith('a', 'b')
    await world.issue('a')
    world.server.removeEntry('a')
    await world.synced()
    expect(world.sync.revocations.serials).toEqual([])
  })
})

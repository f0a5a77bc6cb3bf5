import { X509Certificate } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { tlsIdentity } from '../../../agent/agent-svid/agent-svid.js'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { AgentError } from '../../../agent/errors.js'
import { rateLimited, refusal } from '../../fakes/control-plane.js'
import { IDENTITY_FILE, MINUTE, never, open, TOKEN_FILE, World, type WorldOptions } from './world.js'

const HOUR = 60 * MINUTE
const serial = (keeper: AgentSvidKeeper) => keeper.current()?.serial
/** What the keeper would wait before its next attempt, by its own account. */
const wait = (world: World, keeper: AgentSvidKeeper) =>
  (keeper.due(world.clock.now())?.at ?? Number.NaN) - world.clock.now()

describe('the first start', () => {
  it('attests the node and says who it is', async () => {
    const world = await World.create()
    const keeper = world.keeper()
    expect([keeper.due(world.clock.now()), keeper.state().kind]).toEqual([null, 'starting'])
    await keeper.restore()
    expect(keeper.due(world.clock.now())).toEqual({ at: world.clock.now(), urgent: true, tier: 'bootstrap' })
    await keeper.attempt(never())
    expect(keeper.current()?.spiffeId.uri).toBe(world.server.agent.uri)
    expect(keeper.state()).toEqual({ kind: 'valid', since: world.clock.now() })
    const said = world.sinks.lines.find((line) => line.event === 'Node attestation successful')
    expect(said).toMatchObject({
      level: 'info',
      fields: { agent_id: world.server.agentId, spiffe_id: world.server.agent.uri },
    })
    expect(world.sinks.total('icp_agent_node_attestations_total', { outcome: 'ok' })).toBe(1)
  })

  it('sends a CSR and evidence of its type, and the token beside them', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    await world.attested()
    const { request } = world.server.calls[0] ?? {}
    expect(request).toMatchObject({ evidence: { type: 'unix', evidence: { pid: 7, username: 'root' } } })
    expect(JSON.stringify(request)).not.toContain('token-1')
  })

  it('has its key on disk before the request leaves, with mode 0600', async () => {
    const world = await World.create()
    const onDisk: string[] = []
    const { attestNode } = world.server
    world.server.attestNode = (request, signal) => {
      onDisk.push(world.files.content.get(IDENTITY_FILE)?.toString() ?? '')
      return attestNode.call(world.server, request, signal)
    }
    await world.attested()
    expect(onDisk).toHaveLength(1)
    expect(JSON.parse(onDisk[0] ?? '')).toMatchObject({ identity: null, pending: { answer: null } })
    expect(world.files.modes.get(IDENTITY_FILE)).toBe(0o600)
  })

  it('gives TLS a certificate and the key that belongs to it', async () => {
    const world = await World.create()
    const identity = (await world.attested()).current()
    if (!identity) throw new TypeError('no identity')
    const { certificate, key } = tlsIdentity(identity)
    expect(new X509Certificate(certificate).checkPrivateKey(identity.key.reveal())).toBe(true)
    expect(key).toContain('BEGIN PRIVATE KEY')
    expect(JSON.stringify({ identity })).not.toContain('PRIVATE KEY')
  })

  it('backs off, jittered and at most 60 s, while the server is away, and says it once', async () => {
    const world = await World.create()
    world.server.fail('attestNode', new AgentError('icp.unreachable', 'away'), { times: 6 })
    const keeper = world.keeper()
    await keeper.restore()
    const waits: number[] = []
    for (let i = 0; i < 6; i++) {
      await keeper.attempt(never())
      waits.push(wait(world, keeper))
      await world.clock.advance(wait(world, keeper))
    }
    expect(waits).toEqual([3750, 7500, 15_000, 30_000, 45_000, 45_000])
    expect(keeper.state()).toMatchObject({ kind: 'starting', reason: { code: 'icp.unreachable' } })
    expect(world.sinks.events('warn')).toEqual(['Node attestation failed'])
    await keeper.attempt(never())
    expect(world.sinks.events('info')).toEqual(['Node attestation works again', 'Node attestation successful'])
  })

  it('waits as long as a 429 asks for, but no longer than five minutes', async () => {
    const world = await World.create()
    world.server.fail('attestNode', rateLimited(60_000))
    world.server.fail('attestNode', rateLimited(3_600_000))
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(wait(world, keeper)).toBe(60_000)
    await keeper.attempt(never())
    expect(wait(world, keeper)).toBe(300_000)
  })

  it('two calls at once are one attempt', async () => {
    const world = await World.create()
    const keeper = world.keeper()
    await keeper.restore()
    await Promise.all([keeper.attempt(never()), keeper.attempt(never())])
    expect(world.server.count('attestNode')).toBe(1)
  })

  it('an abort is no failure, and a defect is not hidden', async () => {
    const world = await World.create()
    const keeper = world.keeper()
    await keeper.restore()
    const stop = new AbortController()
    stop.abort(new AgentError('agent.stopping', 'stop'))
    await expect(keeper.attempt(stop.signal)).rejects.toBe(stop.signal.reason)
    expect(keeper.state().kind).toBe('starting')
    world.server.fail('attestNode', new TypeError('defect'))
    await expect(keeper.attempt(never())).rejects.toThrow(TypeError)
  })
})

describe('renewal', () => {
  it('is due with 35 to 36 minutes of an hour left, whatever the threshold of six hours', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    expect(keeper.due(world.clock.now())).toMatchObject({ urgent: false, tier: 'standard' })
    expect(wait(world, keeper)).toBe(HOUR - 35.5 * MINUTE)
  })

  it('takes a new key and the same agent id, and says so', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = keeper.current()
    await world.clock.advance('25m')
    await keeper.attempt(never())
    const after = keeper.current()
    expect([world.server.count('attestNode'), world.server.count('renewAgent')]).toEqual([1, 1])
    expect(world.server.calls[1]?.request).toMatchObject({ agentId: world.server.agentId })
    expect(after?.serial).not.toBe(before?.serial)
    expect(after?.key.reveal().equals(before?.key.reveal() as never)).toBe(false)
    expect(after?.agentId).toBe(before?.agentId)
    const said = world.sinks.lines.find((line) => line.event === 'Agent SVID renewal successful')
    expect(said?.fields).toMatchObject({ spiffe_id: world.server.agent.uri })
  })

  it('a certificate of seconds with a notBefore set back by 30 s is renewed at its half, never in a loop', async () => {
    const world = await World.create({ generation: 'workspace', agentTtlMs: 10_000 })
    world.giveToken()
    const keeper = await world.attested()
    for (let i = 0; i < 5; i++) {
      // Certificates count whole seconds, so up to one of the ten is lost.
      expect(wait(world, keeper)).toBeGreaterThan(4000)
      await world.clock.advance(4500)
      await keeper.attempt(never())
    }
    expect(world.server.count('renewAgent')).toBe(5)
  })

  it('a failing server leaves the old SVID in force, says it once, and recovers', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = serial(keeper)
    world.server.fail('renewAgent', refusal('icp.server_error', 503), { times: 3 })
    await world.clock.advance('25m')
    for (let i = 0; i < 3; i++) await keeper.attempt(never())
    expect([serial(keeper), keeper.state().kind]).toEqual([before, 'renewal_failing'])
    expect(world.sinks.events('warn')).toEqual(['Agent SVID renewal failed'])
    await keeper.attempt(never())
    expect(serial(keeper)).not.toBe(before)
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })

  it.each(['icp.unauthorized', 'icp.forbidden', 'icp.not_found'] as const)(
    'refused with %s leads to node attestation, at once and in its own slot',
    async (code) => {
      const world = await World.create()
      const keeper = await world.attested()
      const before = serial(keeper)
      world.server.fail('renewAgent', refusal(code, 400))
      await world.clock.advance('25m')
      await keeper.attempt(never())
      expect([world.server.count('renewAgent'), world.server.count('attestNode')]).toEqual([1, 1])
      expect(keeper.due(world.clock.now())).toEqual({ at: world.clock.now(), urgent: false, tier: 'bootstrap' })
      expect(keeper.state().kind).toBe('valid')
      await keeper.attempt(never())
      expect(world.server.count('attestNode')).toBe(2)
      expect(serial(keeper)).not.toBe(before)
      expect(world.sinks.events('warn')).toEqual([])
    },
  )

  it('an attestation in its place that fails for another reason lets the next attempt renew again', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', refusal('icp.not_found', 404))
    world.server.fail('attestNode', new AgentError('icp.unreachable', 'away'))
    await world.clock.advance('25m')
    for (let i = 0; i < 3; i++) await keeper.attempt(never())
    expect([world.server.count('renewAgent'), world.server.count('attestNode')]).toEqual([2, 2])
    expect(keeper.state().kind).toBe('valid')
  })

  it('a lapsed SVID is attested for, and its end is said once', async () => {
    const world = await World.create()
    const keeper = await world.attested()
    await world.clock.advance('2h')
    expect([keeper.current(), keeper.state().kind, keeper.due(world.clock.now())?.urgent]).toEqual([
      null,
      'expired',
      true,
    ])
    world.server.fail('attestNode', new AgentError('icp.unreachable', 'away'), { times: 2 })
    for (let i = 0; i < 3; i++) await keeper.attempt(never())
    expect(world.sinks.events('error')).toEqual(['Agent SVID expired'])
    expect([keeper.state().kind, world.server.count('renewAgent')]).toEqual(['valid', 0])
  })
})

describe('answers that are wrong', () => {
  const wrong: [string, (world: World) => Promise<void>][] = [
    [
      'another SPIFFE ID in the answer',
      async ({ server }) => {
        server.tamper.issued = (answer) => ({ ...answer, spiffeId: `spiffe://${server.tenantId}/agent/other` })
      },
    ],
    [
      'a CA that is not in the bundle',
      async ({ server }) => {
        const old = server.ca.der
        await server.rotateCa()
        server.tamper.issued = (answer) => ({ ...answer, bundle: [old] })
      },
    ],
    [
      'a certificate that has expired',
      async ({ server }) => {
        Object.assign(server.options, { agentTtlMs: -1000 })
      },
    ],
    [
      'no certificate of ours at all',
      async ({ server }) => {
        server.tamper.issued = (answer) => ({ ...answer, chain: [server.ca.der] })
      },
    ],
  ]
  it.each(wrong)('%s never replaces what is valid, and renewal goes on', async (_name, spoil) => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = serial(keeper)
    await spoil(world)
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect([serial(keeper), keeper.state().kind]).toEqual([before, 'renewal_failing'])
    expect(keeper.state().reason?.code).toMatch(/^svid\./)
    expect(wait(world, keeper)).toBeGreaterThan(0)
    const restarted = world.keeper()
    await restarted.restore()
    expect(serial(restarted)).toBe(before)
    delete world.server.tamper.issued
    Object.assign(world.server.options, { agentTtlMs: HOUR })
    await keeper.attempt(never())
    expect(serial(keeper)).not.toBe(before)
    expect([keeper.state().kind, world.server.count('renewAgent')]).toEqual(['valid', 2])
  })

  it('a certificate that has yet to begin is waited for when a join token was spent on it: our clock may be behind', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    await world.clock.jump('-5m')
    Object.assign(world.server.options, { clock: { now: () => world.clock.now() + 5 * MINUTE } })
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect([keeper.state().kind, keeper.state().reason?.code]).toEqual(['starting', 'svid.invalid'])
    const restarted = world.keeper()
    await restarted.restore()
    await world.clock.jump('5m')
    await restarted.attempt(never())
    expect([restarted.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })

  it('a certificate that has yet to begin is dropped where the node has a valid one', async () => {
    const world = await World.create()
    const keeper = await world.attested()
    const before = serial(keeper)
    await world.clock.advance('25m')
    const { options } = world.server
    Object.assign(options, { clock: { now: () => world.clock.now() + 5 * MINUTE } })
    await keeper.attempt(never())
    await keeper.attempt(never())
    expect([serial(keeper), keeper.state().reason?.code]).toEqual([before, 'svid.invalid'])
    Object.assign(options, { clock: world.clock })
    await keeper.attempt(never())
    await keeper.attempt(never())
    expect([keeper.state().kind, serial(keeper) === before]).toEqual(['valid', false])
  })
})

describe('a bundle that is empty', () => {
  it('is fetched from /bundle', async () => {
    const world = await World.create()
    world.server.withoutBundle = true
    const keeper = await world.attested()
    expect([world.server.count('bundle'), keeper.current()?.authorities.length]).toEqual([1, 1])
  })

  it('and fetched in vain keeps the answer, also over a restart, so that the token is not spent for nothing', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.server_error', 500), { times: 2 })
    const first = world.keeper()
    await first.restore()
    await first.attempt(never())
    expect([first.current(), first.state().reason?.code]).toEqual([null, 'svid.issuer_unknown'])
    const second = world.keeper()
    await second.restore()
    expect(second.due(world.clock.now())?.tier).toBe('service')
    await second.attempt(never())
    expect(second.current()).toBeNull()
    await second.attempt(never())
    expect(second.state().kind).toBe('valid')
    expect([world.server.count('attestNode'), world.server.count('bundle')]).toEqual([1, 3])
  })

  it('in a renewal falls back on the authorities that are known', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    const before = serial(keeper)
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.not_found', 404))
    await world.clock.advance('25m')
    await keeper.attempt(never())
    expect(serial(keeper)).not.toBe(before)
  })

  const unknownIssuer = async (settings: WorldOptions) => {
    const world = await World.create(settings)
    if (settings.generation === 'workspace') world.giveToken()
    world.server.withoutBundle = true
    world.server.fail('bundle', refusal('icp.not_found', 404), { times: 100_000 })
    const keeper = world.keeper()
    await keeper.restore()
    await keeper.attempt(never())
    expect(keeper.state().reason?.code).toBe('svid.issuer_unknown')
    return { world, keeper }
  }

  it('for good costs no more than the next attestation where no join token was spent', async () => {
    const { world, keeper } = await unknownIssuer({})
    const restarted = world.keeper()
    await restarted.restore()
    world.server.withoutBundle = false
    for (const each of [keeper, restarted]) {
      expect(each.due(world.clock.now())?.tier).toBe('bootstrap')
      await each.attempt(never())
      expect(each.state().kind).toBe('valid')
    }
  })

  it('for good is waited out no longer than the certificate lives that a join token was spent on', async () => {
    const { world, keeper } = await unknownIssuer({ generation: 'workspace' })
    await world.clock.advance('59m')
    await keeper.attempt(never())
    expect(keeper.due(world.clock.now())?.tier).toBe('service')
    await world.clock.advance('2m')
    await keeper.attempt(never())
    expect(keeper.due(world.clock.now())?.tier).toBe('bootstrap')
    world.giveToken()
    world.server.withoutBundle = false
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 2])
  })

  it('asked for in vain by a process that stops keeps the answer', async () => {
    const { world } = await unknownIssuer({ generation: 'workspace' })
    await world.clock.advance('2h')
    const stop = new AbortController()
    const keeper = world.keeper()
    await keeper.restore()
    const asked = keeper.attempt(stop.signal)
    stop.abort(new AgentError('agent.stopping', 'stop'))
    await expect(asked).rejects.toBe(stop.signal.reason)
    expect(world.files.content.get(IDENTITY_FILE)?.toString()).toMatch(/"answer": \{/)
  })

  it('of a certificate that has ended by a clock that is ahead is waited for, for the sake of its join token', async () => {
    const { world, keeper } = await unknownIssuer({ generation: 'workspace' })
    world.skew = () => -2 * HOUR
    await world.clock.jump('2h')
    await keeper.attempt(never())
    world.server.clearFaults()
    await keeper.attempt(never())
    expect(keeper.state().reason?.code).toBe('svid.invalid')
    await world.clock.jump('-2h')
    world.skew = () => 0
    await keeper.attempt(never())
    expect([keeper.state().kind, world.server.count('attestNode')]).toEqual(['valid', 1])
  })
})

describe('the wall clock', () => {
  it('that went back behind the certificate spends no join token, and is waited for', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    const keeper = await world.attested()
    await world.clock.jump('-30d')
    expect([keeper.current(), keeper.state()]).toMatchObject([
      null,
      { kind: 'expired', reason: { code: 'agent.no_identity' } },
    ])
    await keeper.attempt(never())
    expect(world.server.count('attestNode')).toBe(1)
    expect(wait(world, keeper)).toBeGreaterThan(29 * 24 * HOUR)
    await world.clock.jump('30d')
    expect(keeper.state().kind).toBe('valid')
  })

  it('that was wrong at a restart does not throw the identity away', async () => {
    const world = await World.create()
    const before = serial(await world.attested())
    await world.clock.jump('-20d')
    const keeper = world.keeper()
    await keeper.restore()
    expect([keeper.current(), world.files.content.size]).toEqual([null, 1])
    await world.clock.jump('20d')
    expect(serial(keeper)).toBe(before)
  })
})

describe('subscribers', () => {
  it('hear of each change, and not after they leave', async () => {
    const world = await World.create()
    const keeper = world.keeper()
    let heard = 0
    const subscription = keeper.subscribe(() => void heard++)
    await keeper.restore()
    await keeper.attempt(never())
    expect(heard).toBe(2)
    subscription[Symbol.dispose]()
    await keeper.attempt(never())
    expect(heard).toBe(2)
  })

  it('hear while it is kept that time alone made it valid, or ended it', async () => {
    const world = await World.create({ generation: 'workspace' })
    world.giveToken()
    await world.attested()
    world.server.fail('renewAgent', new AgentError('icp.unreachable', 'away'), { times: 1000 })
    await world.clock.jump('-1d')
    const keeper = world.keeper()
    await keeper.restore()
    const heard: boolean[] = []
    using _subscription = keeper.subscribe(() => void heard.push(keeper.current() !== null))
    const stop = new AbortController()
    const running = keeper.run(stop.signal, open)
    await world.pass(MINUTE)
    expect(heard).toEqual([])
    await world.clock.jump('1d')
    await world.pass(MINUTE)
    expect(heard).toEqual([true])
    await world.pass(HOUR)
    expect(heard).toContain(false)
    stop.abort()
    await running
    expect(world.clock.pending).toBe(0)
  })
})

describe('the token file', () => {
  it('is never in a log line', async () => {
    const world = await World.create({ generation: 'workspace' })
    const token = world.giveToken()
    const keeper = await world.attested()
    world.server.fail('renewAgent', refusal('icp.unauthorized', 401))
    await world.clock.advance('25m')
    await keeper.attempt(never())
    await keeper.attempt(never())
    expect(world.files.content.get(TOKEN_FILE)?.toString()).toContain(token)
    expect(JSON.stringify(world.sinks.lines)).not.toContain(token)
    expect(world.files.content.get(IDENTITY_FILE)?.toString()).not.toContain(token)
  })
})

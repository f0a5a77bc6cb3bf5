import { describe, expect, it } from 'vitest'
import type { AgentSvidKeeper } from '../../../agent/agent-svid/run.js'
import { attested, ChangingCa } from './changing-ca.js'
import { IDENTITY_FILE, MINUTE, never, open } from './world.js'

const STEP = 10_000
const HOUR = 60 * MINUTE

/** Lets time pass while the agent runs and asks; true where every request was let through. */
async function live(ca: ChangingCa, minutes: number, ask: 'issue' | 'sync' = 'issue'): Promise<boolean> {
  let all = true
  for (let left = minutes * MINUTE; left > 0; left -= STEP) {
    await ca.world.pass(STEP, STEP)
    all = (await ca[ask]()) && all
  }
  return all
}

/** The agent of today, until it is stopped. */
async function running(keeper: AgentSvidKeeper): Promise<AsyncDisposable> {
  const stop = new AbortController()
  const ran = keeper.run(stop.signal, open)
  return {
    [Symbol.asyncDispose]: async () => {
      stop.abort()
      await ran
    },
  }
}

const onDisk = (ca: ChangingCa) =>
  JSON.parse(ca.world.files.content.get(IDENTITY_FILE)?.toString() ?? '') as {
    readonly identity: object | null
    readonly older_identity: { readonly key: string } | null
    readonly reception: { readonly refused_since: number | null }
  }
const attests = (ca: ChangingCa) => ca.world.server.count('attestNode')

describe('a change of the CA behind the server', () => {
  it('is survived by an agent that hears of it: it renews within a minute, and no request of its is lost', async () => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    const before = keeper.current()?.serial
    await using _running = await running(keeper)
    expect(await live(ca, 3)).toBe(true)
    await ca.rotate()
    expect(await live(ca, 1.5)).toBe(true)
    expect(ca.world.server.count('renewAgent')).toBe(1)
    // Only the old one is good yet; the new one was tried once, and then no more.
    expect([keeper.current()?.serial, ca.refusals]).toEqual([before, 1])
    expect(await live(ca, 85)).toBe(true)
    expect([keeper.state().kind, ca.refusals, attests(ca)]).toEqual(['valid', 2, 1])
    expect(ca.world.sinks.total('icp_agent_certificate_refusals_total', { outcome: 'other_accepted' })).toBe(2)
    expect(ca.world.sinks.total('icp_agent_certificate_refusals_total', { outcome: 'all_refused' })).toBe(0)
  })

  it('costs one more request for each change of what is accepted, whichever endpoint meets it', async () => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    await using _running = await running(keeper)
    await ca.rotate()
    await live(ca, 20)
    // Two in a row are one exchange: never a third.
    const statuses = ca.requests.map(({ status }) => status).join(' ')
    expect(statuses).not.toContain('401 401')
    expect(statuses.match(/401 200/g)).toHaveLength(2)
  })

  it('in the window of which the agent is restarted leaves it both certificates, and which of them is good', async () => {
    const ca = await ChangingCa.create()
    {
      await using _running = await running(await attested(ca))
      await ca.rotate()
      await live(ca, 2)
    }
    const refusals = ca.refusals
    const keeper = await ca.start()
    expect(keeper.certificates.names()).toHaveLength(2)
    await using _running = await running(keeper)
    expect(await live(ca, 2)).toBe(true)
    expect(ca.refusals).toBe(refusals)
    expect(await live(ca, 80)).toBe(true)
  })

  it('ends with the older key erased: ten minutes after the newest certificate was accepted', async () => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    await using _running = await running(keeper)
    await ca.rotate()
    await live(ca, 5)
    const older = onDisk(ca).older_identity?.key ?? ''
    expect(older).toContain('PRIVATE KEY')
    await live(ca, 9)
    expect(onDisk(ca).older_identity?.key).toBe(older)
    await live(ca, 2)
    expect([onDisk(ca).older_identity, keeper.certificates.other()]).toEqual([null, null])
    expect(ca.world.files.content.get(IDENTITY_FILE)?.toString()).not.toContain(JSON.stringify(older).slice(1, -1))
  })

  it('that ended while no agent ran leaves no key of a lapsed certificate on the disk, also where nothing is renewed', async () => {
    const ca = await ChangingCa.create()
    {
      await using _running = await running(await attested(ca))
      await ca.rotate(HOUR)
      await live(ca, 3)
      ca.revoked = true
      await live(ca, 0.5)
    }
    expect(onDisk(ca).older_identity).not.toBeNull()
    await ca.world.clock.advance('58m')
    await using _running = await running(await ca.start())
    await ca.world.pass(5000)
    expect(onDisk(ca).older_identity).toBeNull()
  })

  it('of which the renewal hears nothing is asked for again, at growing distances', async () => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    await using _running = await running(keeper)
    // Another replica names an issuer that does not sign yet.
    const { ca: old } = ca.world.server
    await ca.world.server.rotateCa()
    const { der } = ca.world.server.ca
    ca.world.server.ca = old
    for (let n = 0; n < 20 * 6; n++) {
      keeper.certificates.issuersNamed([der])
      await ca.world.pass(STEP, STEP)
    }
    // Within a minute, five minutes after that, ten minutes after that.
    expect(ca.world.server.count('renewAgent')).toBe(3)
  })

  it.each([0, 0.5, 1])('is answered within a minute, spread over it (%d)', async (spread) => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    const identity = keeper.current()
    if (identity) Object.assign(identity, { spread })
    await ca.rotate()
    await ca.issue()
    const due = keeper.due(ca.world.clock.now())
    expect((due?.at ?? 0) - ca.world.clock.now()).toBe(spread * MINUTE)
    expect(due?.tier).toBe('standard')
  })
})

describe('a change of the CA that the agent did not hear of in time', () => {
  /** From the moment at which nothing is accepted. */
  async function missed() {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    await ca.rotate(0)
    await ca.sync()
    return { ca, keeper }
  }

  it('is said at once: state, reason, metric, log', async () => {
    const { ca, keeper } = await missed()
    expect(keeper.state()).toMatchObject({ kind: 'refused', since: ca.world.clock.now() })
    expect(keeper.state().reason?.code).toBe('agent.certificate_refused')
    expect(keeper.certificates.usable).toBe(false)
    expect(ca.world.sinks.events('warn')).toEqual(['ICP server accepts no certificate of the agent'])
    expect(ca.world.sinks.total('icp_agent_certificate_refusals_total', { outcome: 'all_refused' })).toBe(1)
  })

  it('risks no join token for six minutes, and then attests, whose refusal says what is wanted', async () => {
    const { ca, keeper } = await missed()
    await using _running = await running(keeper)
    await live(ca, 5.8)
    expect([attests(ca), keeper.state().kind]).toEqual([1, 'refused'])
    await live(ca, 2)
    expect([attests(ca), keeper.state()]).toMatchObject([
      2,
      { kind: 'locked_out', reason: { code: 'agent.locked_out' } },
    ])
    ca.world.giveToken()
    await live(ca, 0.2)
    expect([attests(ca), keeper.state().kind]).toEqual([3, 'valid'])
    expect(await live(ca, 90)).toBe(true)
    expect(ca.world.sinks.events('info')).toContain('ICP server accepts the agent again')
  })

  it('is over as soon as one certificate is accepted again, without an attestation', async () => {
    const { ca, keeper } = await missed()
    let accepted = 0
    using _accepted = keeper.certificates.onAccepted(() => void accepted++)
    await using _running = await running(keeper)
    await live(ca, 4)
    ca.rotateBack()
    expect(await live(ca, 60)).toBe(true)
    expect([keeper.state().kind, attests(ca), accepted]).toEqual(['valid', 1, 1])
  })

  it('leaves no wait behind once a certificate is accepted again', async () => {
    const { ca, keeper } = await missed()
    await ca.world.clock.advance('30m')
    for (let n = 0; n < 5; n++) await keeper.attempt(never())
    expect(keeper.due(ca.world.clock.now())?.at).toBeGreaterThan(ca.world.clock.now() + 10_000)
    ca.rotateBack()
    await ca.sync()
    expect(keeper.due(ca.world.clock.now())?.at).toBe(ca.world.clock.now())
  })

  it('is still what is wrong once the certificates have lapsed', async () => {
    const { ca, keeper } = await missed()
    await ca.world.clock.advance('2h')
    expect(keeper.state()).toMatchObject({ kind: 'expired', reason: { code: 'agent.certificate_refused' } })
    expect(keeper.certificates.usable).toBe(false)
  })

  it('counts only refusals: silence of the server attests nothing', async () => {
    const { ca, keeper } = await missed()
    await using _running = await running(keeper)
    ca.away = true
    await ca.world.pass(10 * MINUTE, STEP)
    expect(attests(ca)).toBe(1)
    expect(keeper.state().kind).toBe('refused')
  })

  it('uses a fresh join token at once, where it lies there already', async () => {
    const ca = await ChangingCa.create()
    const keeper = await attested(ca)
    await using _running = await running(keeper)
    ca.world.giveToken()
    await live(ca, 1)
    expect(attests(ca)).toBe(1)
    await ca.rotate(0)
    await ca.sync()
    await ca.world.pass(3000)
    expect([attests(ca), keeper.state().kind]).toEqual([2, 'valid'])
  })

  it('uses a fresh join token at once after a restart', async () => {
    const { ca, keeper } = await missed()
    {
      await using _running = await running(keeper)
      await ca.world.pass(3000)
    }
    expect(onDisk(ca).reception.refused_since).not.toBeNull()
    ca.world.giveToken()
    const restarted = await ca.start()
    expect(restarted.state().kind).toBe('refused')
    await using _running = await running(restarted)
    await ca.world.pass(3000)
    expect([attests(ca), restarted.state().kind]).toEqual([2, 'valid'])
  })

  it('does not begin its six minutes again at a restart', async () => {
    const { ca, keeper } = await missed()
    {
      await using _running = await running(keeper)
      await live(ca, 4)
    }
    const restarted = await ca.start()
    await using _running = await running(restarted)
    await live(ca, 1.5)
    expect(attests(ca)).toBe(1)
    await live(ca, 1.5)
    expect(attests(ca)).toBe(2)
  })
})

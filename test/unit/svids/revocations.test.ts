import { describe, expect, it } from 'vitest'
import { AgentError, type ErrorCode } from '../../../agent/errors.js'
import { syncEvents } from '../../../agent/observability/sync-events.js'
import { Revocations } from '../../../agent/svids/revocations.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane, rateLimited } from '../../fakes/control-plane.js'
import { RecordedSinks } from '../../fakes/sinks.js'
import { serverError } from './sync-world.js'

const MINUTE = 60_000
const DAY = 24 * 60 * MINUTE
const signal = new AbortController().signal
const answer = (code: ErrorCode) => new AgentError(code, 'the fake server says so')

async function setting(...serials: readonly string[]) {
  const clock = new FakeClock()
  const server = await FakeControlPlane.create({ clock })
  const sinks = new RecordedSinks()
  const revocations = new Revocations({ controlPlane: server, clock, events: syncEvents(sinks, clock) })
  revocations.add(serials)
  /** One request, as the loop makes it; false where there is nothing to ask now. */
  const ask = async (): Promise<boolean> => {
    const [serial] = revocations.serials
    if (serial === undefined) return false
    await revocations.revoke(serial, signal)
    return true
  }
  return { clock, server, sinks, revocations, ask }
}

describe('a revocation', () => {
  it.each([
    ['that finds nobody', answer('icp.unreachable')],
    ['without an answer', answer('icp.timeout')],
    ['that fails at the handshake', answer('icp.tls')],
    ['that the server fails at', serverError(503)],
    ['that something in between answers', answer('icp.bad_response')],
    ['made while the agent has to attest anew', answer('icp.unauthorized')],
  ])('%s is made again, after a pause', async (_what, error) => {
    const { clock, server, revocations, ask } = await setting('01', '02')
    server.fail('revokeWorkload', error)
    await ask()
    expect(revocations.opensIn).toBe(30_000)
    expect(await ask()).toBe(false)
    await clock.advance('30s')
    while (await ask());
    expect(server.revoked).toEqual(['01', '02'])
    expect(revocations.opensIn).toBe(Number.POSITIVE_INFINITY)
  })

  it.each(['icp.bad_request', 'icp.forbidden', 'icp.not_found', 'icp.conflict'] as const)(
    'that is refused with %s is said and not repeated',
    async (code) => {
      const { server, sinks, ask } = await setting('01', '02')
      server.fail('revokeWorkload', answer(code))
      while (await ask());
      expect(server.revoked).toEqual(['02'])
      expect(sinks.lines[0]).toMatchObject({ level: 'warn', fields: { serial: '01', code } })
    },
  )

  it('that comes after the server forgot the SVID is counted as that; the remedy is said once, serials always', async () => {
    const { server, sinks, ask } = await setting('01', '02', '03')
    server.fail('revokeWorkload', answer('icp.svid_unknown'), { times: 2 })
    while (await ask());
    expect(server.revoked).toEqual(['03'])
    const told = sinks.lines.filter(({ event }) =>
      event.startsWith('Workload SVID of a removed entry cannot be revoked: '),
    )
    expect(told).toMatchObject([
      { level: 'warn', fields: { serial: '01', remedy: expect.stringContaining('first, then delete') } },
      { level: 'info', fields: { serial: '02' } },
    ])
    expect(sinks.events('warn')).toHaveLength(1)
    const outcome = (value: string) => sinks.total('icp_agent_revocations_total', { outcome: value })
    expect([outcome('icp.svid_unknown'), outcome('revoked')]).toEqual([2, 1])
  })

  it('that the server answers with 500 again and again does not keep the others from their turn', async () => {
    const { clock, server, sinks, ask } = await setting('unknown there', '02')
    server.fail('revokeWorkload', serverError(500), { times: 3 })
    for (let i = 0; i < 3; i++) {
      expect(await ask()).toBe(true)
      await clock.advance('10m')
    }
    await ask()
    expect(server.revoked).toEqual(['02'])
    expect(sinks.total('icp_agent_revocations_total', { outcome: 'icp.server_error' })).toBe(1)
  })

  it('that meets a 429 stays where it is; the limiter knows when to ask again', async () => {
    const { server, sinks, revocations, ask } = await setting('01')
    server.fail('revokeWorkload', rateLimited())
    await ask()
    expect([revocations.serials, revocations.opensIn]).toEqual([['01'], 0])
    expect(sinks.events('warn')).toEqual([])
  })

  it('is made ever less while the server is away, which is said once, and at once when it is back', async () => {
    const { clock, server, sinks, revocations, ask } = await setting('01')
    server.fail('revokeWorkload', answer('icp.unreachable'), { times: 8 })
    const pauses: number[] = []
    for (let i = 0; i < 8; i++) {
      await ask()
      pauses.push(revocations.opensIn / MINUTE)
      await clock.advance(revocations.opensIn)
    }
    expect(pauses).toEqual([0.5, 1, 2, 4, 8, 10, 10, 10])
    expect(sinks.events('warn')).toHaveLength(1)
    server.fail('revokeWorkload', answer('icp.unreachable'))
    await ask()
    expect(revocations.opensIn).toBe(10 * MINUTE)
    revocations.serverReturned()
    expect(revocations.opensIn).toBe(0)
    await ask()
    expect(server.revoked).toEqual(['01'])
  })
})

describe('the queue', () => {
  it('forgets after a day: by then the certificate has ended by itself', async () => {
    const { clock, revocations } = await setting('01')
    await clock.advance(DAY - MINUTE)
    revocations.add(['02'])
    await clock.advance(2 * MINUTE)
    expect(revocations.serials).toEqual(['02'])
  })

  it('holds ten thousand; the oldest, which end soonest, give way', async () => {
    const { revocations } = await setting()
    revocations.add(Array.from({ length: 10_001 }, (_, i) => String(i)))
    expect(revocations.serials).toHaveLength(10_000)
    expect(revocations.serials[0]).toBe('1')
  })

  it('is empty and opens never where nothing was removed', async () => {
    const { revocations } = await setting()
    expect([revocations.serials, revocations.opensIn]).toEqual([[], Number.POSITIVE_INFINITY])
  })
})

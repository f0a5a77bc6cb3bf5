import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { LEASE_MS, Lease, RENEW_DEADLINE_MS } from '../../../agent/publishing/lease.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeClusterObjects } from '../../fakes/cluster-objects.js'

const PATH = '/apis/coordination.k8s.io/v1/namespaces/authsec/leases/publisher'
const signal = new AbortController().signal

function setUp() {
  const objects = new FakeClusterObjects()
  const clock = new FakeClock()
  const lease = (holder: string, own: FakeClock = clock) =>
    new Lease({ objects, clock: own, namespace: 'authsec', name: 'publisher', holder })
  const spec = () => objects.get(PATH)?.['spec'] as Record<string, unknown>
  return { objects, clock, lease, spec }
}

describe('a lease', () => {
  it('is made by the first, who holds it, and not by the second', async () => {
    const { lease, spec } = setUp()
    const [a, b] = [lease('a'), lease('b')]
    await a.turn(signal)
    await b.turn(signal)
    expect([a.held, b.held, b.holder]).toEqual([true, false, 'a'])
    expect(spec()).toMatchObject({ holderIdentity: 'a', leaseDurationSeconds: 30, leaseTransitions: 0 })
    expect(spec()['renewTime']).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  })

  it('is made by one of two who find none at the same time', async () => {
    const { lease } = setUp()
    const [a, b] = [lease('a'), lease('b')]
    await Promise.all([a.turn(signal), b.turn(signal)])
    expect([a.held, b.held].filter(Boolean)).toHaveLength(1)
  })

  it('stays with a holder that renews it, and what else stands in it stays, too', async () => {
    const { lease, clock, objects, spec } = setUp()
    const [a, b] = [lease('a'), lease('b')]
    await a.turn(signal)
    objects.edit(PATH, (found) => ({ ...found, spec: { ...(found['spec'] as object), strategy: 'kept' } }))
    for (let i = 0; i < 20; i++) {
      await clock.advance(5_000)
      await a.turn(signal)
      await b.turn(signal)
      expect([a.held, b.held]).toEqual([true, false])
    }
    expect(spec()).toMatchObject({ strategy: 'kept', leaseTransitions: 0 })
  })

  it('is never held by two: the holder that cannot renew stops well before the other takes over', async () => {
    const { lease, clock, objects, spec } = setUp()
    const [a, b] = [lease('a'), lease('b')]
    await a.turn(signal)
    await b.turn(signal)
    let lostAt = 0
    for (let ms = 1_000; !b.held; ms += 1_000) {
      await clock.advance(1_000)
      objects.before = async () => {
        throw new AgentError('platform.unavailable', 'away')
      }
      await a.turn(signal).catch(() => undefined)
      objects.before = async () => undefined
      await b.turn(signal)
      expect(a.held && b.held).toBe(false)
      if (!a.held && lostAt === 0) lostAt = ms
      if (b.held) expect(ms).toBe(LEASE_MS)
    }
    expect(lostAt).toBe(RENEW_DEADLINE_MS)
    expect(spec()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })
  })

  it('counts by its own clock, whatever the times in it say', async () => {
    const { lease, clock } = setUp()
    const [a, b] = [lease('a', new FakeClock(Date.parse('2020-01-01T00:00:00Z'))), lease('b')]
    await a.turn(signal)
    await b.turn(signal)
    await clock.advance(LEASE_MS - 1)
    await b.turn(signal)
    expect(b.held).toBe(false)
    await clock.advance(1)
    await b.turn(signal)
    expect(b.held).toBe(true)
  })

  it('counts the term of its holder from before the answer, however late that comes', async () => {
    const { lease, clock, objects } = setUp()
    objects.before = async (verb) => {
      if (verb === 'create') await clock.sleep(15_000)
    }
    const a = lease('a')
    const turn = a.turn(signal)
    await clock.advance(15_000)
    await turn
    expect(a.held).toBe(true)
    await clock.advance(RENEW_DEADLINE_MS - 15_000)
    expect(a.held).toBe(false)
  })

  it('aborts what its holder is doing when the term ends', async () => {
    const { lease, clock } = setUp()
    const a = lease('a')
    await a.turn(signal)
    let aborted = false
    const work = a.whileHeld(signal, async (limited) => {
      await clock.sleep(60_000, limited).catch((error: unknown) => {
        aborted = limited.aborted
        throw error
      })
      return 'done'
    })
    await clock.advance(RENEW_DEADLINE_MS)
    expect([await work, aborted, clock.pending]).toEqual([null, true, 0])
    expect(await a.whileHeld(signal, async () => 'done')).toBeNull()
  })

  it('that an administrator gave to another is not held any more', async () => {
    const { lease, objects } = setUp()
    const a = lease('a')
    await a.turn(signal)
    objects.edit(PATH, (found) => ({ ...found, spec: { ...(found['spec'] as object), holderIdentity: 'b' } }))
    await a.turn(signal)
    expect([a.held, a.holder]).toEqual([false, 'b'])
  })

  it('goes at once to the next one when its holder stops', async () => {
    const { lease, spec } = setUp()
    const [a, b] = [lease('a'), lease('b')]
    await a.turn(signal)
    await b.turn(signal)
    await a.release(signal)
    expect([a.held, spec()['holderIdentity']]).toEqual([false, ''])
    await b.turn(signal)
    expect(b.held).toBe(true)
    await a.release(signal)
    await settle()
    expect(spec()['holderIdentity']).toBe('b')
  })
})

import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { BundlePublisher, LEASE_TURN_MS, LOOK_MS } from '../../../agent/publishing/bundle-publisher.js'
import { Lease } from '../../../agent/publishing/lease.js'
import { ClusterTrustBundleTarget, ConfigMapTarget } from '../../../agent/publishing/targets.js'
import type { PublishedTexts } from '../../../agent/publishing/texts.js'
import { FakeClock, settle } from '../../fakes/clock.js'
import { FakeClusterObjects } from '../../fakes/cluster-objects.js'
import { fixedRandom } from '../../fakes/random.js'

const MAP = '/api/v1/namespaces/authsec/configmaps/spiffe-bundle'
const BUNDLE = '/apis/certificates.k8s.io/v1beta1/clustertrustbundles/example.org:agents:bundle'
const SIGNER = 'example.org/agents'
const texts = (pem: string): PublishedTexts => ({ pem, files: new Map([['bundle.pem', pem]]) })

function setUp() {
  const objects = new FakeClusterObjects()
  objects.served = (version) => version === 'v1beta1'
  const clock = new FakeClock()
  const start = (holder: string) => {
    const lease = new Lease({ objects, clock, namespace: 'authsec', name: 'publisher', holder })
    const log: string[] = []
    const publisher = new BundlePublisher({
      lease,
      targets: [
        new ConfigMapTarget(objects, { namespace: 'authsec', name: 'spiffe-bundle' }),
        new ClusterTrustBundleTarget(objects, { name: 'example.org:agents:bundle', signerName: SIGNER }),
      ],
      clock,
      random: fixedRandom(),
      said: {
        leading: () => log.push('leads'),
        following: (other) => log.push(`follows ${other}`),
        written: (what) => log.push(`wrote ${what}`),
        failed: (_, error) => log.push(`failed: ${error.message}`),
        succeeded: (what) => log.push(`works: ${what}`),
      },
    })
    const stop = new AbortController()
    const done = publisher.run(stop.signal, new AbortController().signal)
    const stopped = async () => {
      stop.abort()
      await done
    }
    return { publisher, lease, log, stop: stopped }
  }
  const pem = () => (objects.get(MAP)?.['data'] as Record<string, string> | undefined)?.['bundle.pem']
  const writes = () => objects.written.filter((path) => !path.includes('/leases/'))
  return { objects, clock, start, pem, writes }
}

describe('a publisher', () => {
  it('writes what it is offered once, again when it changes, and deletes nothing when it stops', async () => {
    const { objects, clock, start, pem, writes } = setUp()
    const { publisher, log, stop } = start('a')
    await settle()
    expect([pem(), publisher.troubles]).toEqual([undefined, ['the agent has given no bundle yet']])
    publisher.offer(texts('one'))
    await settle()
    expect([pem(), objects.get(BUNDLE)?.['spec']]).toEqual(['one', { signerName: SIGNER, trustBundle: 'one' }])
    expect([publisher.troubles, publisher.stuck]).toEqual([[], null])
    await clock.advance('10m')
    expect(writes()).toEqual([MAP, BUNDLE])
    publisher.offer(texts('two'))
    await settle()
    expect([pem(), writes().length]).toEqual(['two', 4])
    await stop()
    expect(pem()).toBe('two')
    expect(log[0]).toBe('leads')
    expect(clock.pending).toBe(0)
  })

  it('puts back what somebody else changed or deleted, and leaves their keys and labels', async () => {
    const { objects, clock, start, pem } = setUp()
    const { publisher, stop } = start('a')
    publisher.offer(texts('one'))
    await settle()
    objects.edit(MAP, (map) => ({
      ...map,
      metadata: { ...(map['metadata'] as object), labels: { own: 'label' } },
      data: { 'bundle.pem': 'forged', other: 'key' },
    }))
    objects.delete(BUNDLE)
    await clock.advance(LOOK_MS)
    expect(objects.get(MAP)).toMatchObject({
      metadata: { labels: { own: 'label' } },
      data: { 'bundle.pem': 'one', other: 'key' },
    })
    expect(objects.get(BUNDLE)?.['spec']).toMatchObject({ trustBundle: 'one' })
    expect(pem()).toBe('one')
    await stop()
  })

  it('reads again where somebody writes between its look and its write', async () => {
    const { objects, clock, start } = setUp()
    const { publisher, stop } = start('a')
    publisher.offer(texts('one'))
    await settle()
    let once = true
    objects.before = async (verb, path) => {
      if (verb !== 'replace' || path !== MAP || !once) return
      once = false
      objects.edit(MAP, (map) => ({ ...map, data: { ...(map['data'] as object), other: 'just now' } }))
    }
    publisher.offer(texts('two'))
    await clock.advance(LOOK_MS)
    expect(objects.get(MAP)?.['data']).toEqual({ 'bundle.pem': 'two', other: 'just now' })
    await stop()
  })

  it('leaves writing to the holder of the lease, and takes over when that stops', async () => {
    const { clock, start, pem, writes } = setUp()
    const a = start('a')
    await settle()
    const b = start('b')
    b.publisher.offer(texts('of b'))
    a.publisher.offer(texts('of a'))
    await clock.advance('5m')
    expect([pem(), writes().length]).toEqual(['of a', 2])
    // A replica that waits is well.
    expect([b.publisher.troubles, b.log]).toEqual([[], ['follows a']])
    await a.stop()
    await clock.advance(LEASE_TURN_MS)
    expect([pem(), b.log[1]]).toEqual(['of b', 'leads'])
    await b.stop()
  })

  it('does not write what was on its way when its lease was lost', async () => {
    const { objects, clock, start, pem } = setUp()
    const a = start('a')
    a.publisher.offer(texts('one'))
    await settle()
    // The network of this replica is gone: whatever it asks stays without an answer, until its signal ends it.
    objects.before = (_verb, _path, signal) => clock.sleep(3_600_000, signal)
    a.publisher.offer(texts('late'))
    await clock.advance(20_000)
    objects.before = async () => undefined
    expect([a.lease.held, pem()]).toEqual([false, 'one'])
    await a.stop()
    expect(pem()).toBe('one')
  })

  it('says a failure once with what it is, is not ready meanwhile, and says when it works again', async () => {
    const { objects, clock, start, pem } = setUp()
    const { publisher, log, stop } = start('a')
    objects.before = async (verb, path) => {
      if (verb === 'create' && path === MAP) throw new AgentError('platform.unavailable', 'needs the verb create')
    }
    publisher.offer(texts('one'))
    await clock.advance('2m')
    expect(log.filter((line) => line.startsWith('failed'))).toEqual(['failed: needs the verb create'])
    expect(publisher.troubles.join()).toContain('needs the verb create')
    // The other object does not wait for it.
    expect(objects.get(BUNDLE)).not.toBeNull()
    objects.before = async () => undefined
    await clock.advance(LOOK_MS)
    expect([pem(), publisher.troubles]).toEqual(['one', []])
    expect(log.at(-1)).toContain('works: configmaps/spiffe-bundle')
    await stop()
  })

  it('is not ready while the lease cannot be read, and stuck once it does nothing', async () => {
    const { objects, clock, start } = setUp()
    const { publisher, log, stop } = start('a')
    publisher.offer(texts('one'))
    await settle()
    objects.before = async () => {
      throw new AgentError('platform.unavailable', 'away')
    }
    await clock.advance('61s')
    expect(publisher.troubles).toContain('the lease has not been read')
    expect(publisher.stuck).toBeNull()
    objects.before = (_verb, _path, signal) => clock.sleep(3_600_000, signal)
    await clock.advance('3m')
    expect(publisher.stuck).toMatch(/^nothing has happened for \d+ s$/)
    await stop()
    expect(log.filter((line) => line.startsWith('works'))).toEqual([])
  })
})

describe('a ClusterTrustBundle', () => {
  const signal = new AbortController().signal
  const target = (objects: FakeClusterObjects, signerName: string) =>
    new ClusterTrustBundleTarget(objects, { name: 'example.org:agents:bundle', signerName })

  it('is said to be unserved by a cluster that has none', async () => {
    const { objects } = setUp()
    objects.served = () => false
    await expect(target(objects, SIGNER).put(texts('one'), signal)).rejects.toThrow(/feature gate ClusterTrustBundle/)
  })

  it('of another signer is left alone', async () => {
    const { objects } = setUp()
    await target(objects, SIGNER).put(texts('one'), signal)
    await expect(target(objects, 'example.org/others').put(texts('two'), signal)).rejects.toThrow(/cannot be changed/)
    expect(objects.get(BUNDLE)?.['spec']).toEqual({ signerName: SIGNER, trustBundle: 'one' })
  })
})

import { afterEach, describe, expect, it } from 'vitest'
import { kubernetesEvents } from '../../../../agent/observability/kubernetes-events.js'
import { Kubelet } from '../../../../attestors/kubernetes/kubelet.js'
import { type OwnPod, Pods } from '../../../../attestors/kubernetes/pods.js'
import { FakeClock } from '../../../fakes/clock.js'
import { fixedRandom } from '../../../fakes/random.js'
import { RecordedSinks } from '../../../fakes/sinks.js'
import { containerId, NODE, podObject } from '../../../support/kubernetes-pods.js'
import { ScriptedApi, unreachable } from './scripted-api.js'

const running: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

const { uid } = podObject().metadata
const place = { podUid: uid, containerId: containerId(`${uid}/app0`) }

function start(own: OwnPod | null = null, shown = [podObject()]) {
  const clock = new FakeClock()
  const api = new ScriptedApi()
  api.pods = shown
  const sinks = new RecordedSinks()
  const pods = new Pods(clock, NODE, own)
  const events = kubernetesEvents(sinks, clock)
  const source = new Kubelet({ api, pods, nodeName: NODE, clock, random: fixedRandom(0.5), events })
  const stop = new AbortController()
  const ended = source.run(stop.signal)
  running.push(async () => {
    stop.abort()
    await ended
    expect(clock.pending, 'timers left behind').toBe(0)
  })
  return { clock, api, sinks, pods, source }
}

describe('the kubelet', () => {
  it('is asked for its pods once, and never again while nobody listens', async () => {
    const { clock, api, pods } = start()
    await clock.advance('10m')
    expect(api.paths).toEqual(['/pods'])
    expect(pods.find(place).kind).toBe('known')
  })

  it('shows a pod behind two dozen of one megabyte each: nobody can hide the pods of others', async () => {
    const large = Array.from({ length: 24 }, (_, n) => {
      const pod = podObject()
      const metadata = { ...pod.metadata, uid: uid.replace(/.{4}$/, String(1000 + n)), name: `large-${n}` }
      return { ...pod, metadata: { ...metadata, annotations: { large: 'x'.repeat(1_048_576) } } }
    })
    const { clock, pods } = start(null, [...large, podObject()])
    await clock.advance('1s')
    expect(pods.find(place).kind).toBe('known')
  })

  it('is asked every 5 s while somebody listens', async () => {
    const { clock, api, pods } = start()
    using _listener = pods.watch(uid, () => {})
    await clock.advance('26s')
    expect(api.paths).toHaveLength(6)
  })

  it('is asked at once for those who wait, twice a second at most, once for all of them', async () => {
    const { clock, api, pods, source } = start()
    await clock.advance('10s')
    for (let i = 0; i < 20; i++) {
      source.want()
      source.want()
      await clock.advance('100ms')
    }
    expect(api.paths.length - 1).toBeGreaterThanOrEqual(4)
    expect(api.paths.length - 1).toBeLessThanOrEqual(5)
    expect(pods.ageMs).toBe(0)
  })

  it('gives a new caller something newer than what was idle for long, and does not wait where there is nothing', async () => {
    const { clock, api, source, sinks } = start()
    await clock.advance('1m')
    const signal = new AbortController().signal
    const current = source.current(signal)
    await clock.advance('1s')
    await current
    expect(api.paths).toHaveLength(2)
    api.nextLists.push(...Array.from({ length: 9 }, unreachable))
    await clock.advance('1m')
    const failing = source.current(signal)
    await clock.advance('1s')
    await failing
    await source.current(signal)
    expect(sinks.events('warn')).toEqual(['Pods of this node cannot be listed'])
    expect(sinks.total('icp_agent_kubernetes_requests_total', { endpoint: 'kubelet', outcome: 'ok' })).toBe(2)
  })

  it('that is away withdraws nothing', async () => {
    const { clock, api, pods } = start()
    await clock.advance(0)
    using _listener = pods.watch(uid, () => {})
    api.nextLists.push(...Array.from({ length: 9 }, unreachable))
    await clock.advance('1m')
    expect(pods.find(place).kind).toBe('known')
    expect(pods.ageMs).toBeGreaterThan(30_000)
  })
})

describe('a kubelet that has just started', () => {
  const OWN = podObject({ name: 'icp-agent' })
  const own = { namespace: OWN.metadata.namespace, name: OWN.metadata.name }
  const STATIC = podObject({ name: 'etcd', annotations: { 'kubernetes.io/config.hash': 'abc' } })
  const stranger = { podUid: 'c0ffee', containerId: containerId('stranger') }

  it('shows nothing, then static pods alone, and withdraws and denies nothing, for as long as its own source is away', async () => {
    const { clock, api, pods, sinks } = start(own, [podObject(), OWN])
    await clock.advance('1s')
    using _listener = pods.watch(uid, () => {})
    for (const shown of [[], [STATIC]]) {
      api.pods = shown
      await clock.advance('1m')
      expect(pods.find(place).kind).toBe('known')
      expect(pods.find(stranger).kind).toBe('unknown')
    }
    expect(sinks.events('warn')).toEqual([
      'Kubernetes does not list the pod of this agent; keeping pods that its list lacks',
    ])
    api.pods = [STATIC, OWN, podObject()]
    await clock.advance('6s')
    expect([pods.find(place).kind, pods.find(stranger).kind]).toEqual(['known', 'unknown'])
    await clock.advance('11s')
    expect([pods.find(place).kind, pods.find(stranger).kind]).toEqual(['known', 'absent'])
    expect(sinks.events('info')).toContain('Kubernetes lists the pod of this agent again')
  })

  it('withdraws and denies nothing for ten seconds where the agent does not know its own pod', async () => {
    const { clock, api, pods } = start(null, [podObject(), STATIC])
    await clock.advance('1s')
    using _listener = pods.watch(uid, () => {})
    api.pods = [STATIC]
    await clock.advance('9s')
    expect([pods.find(place).kind, pods.find(stranger).kind]).toEqual(['known', 'unknown'])
    api.pods = [podObject(), STATIC]
    await clock.advance('1m')
    expect(pods.find(place).kind).toBe('known')
  })

  it('adds and changes at once', async () => {
    const { clock, api, pods } = start(own, [podObject(), OWN])
    await clock.advance('1s')
    using _listener = pods.watch(uid, () => {})
    api.pods = [podObject({ labels: { app: 'changed' } }), STATIC]
    await clock.advance('6s')
    expect(pods.find(place)).toMatchObject({ pod: { labels: new Map([['app', 'changed']]) } })
    expect(pods.size).toBe(3)
  })

  it('is believed about a pod that is gone when it says so again ten seconds later', async () => {
    const { clock, api, pods } = start(own, [podObject(), OWN])
    await clock.advance('1s')
    using _listener = pods.watch(uid, () => {})
    api.pods = [OWN]
    await clock.advance('9s')
    expect(pods.find(place).kind).toBe('known')
    await clock.advance('12s')
    expect(pods.find(place).kind).toBe('absent')
  })
})

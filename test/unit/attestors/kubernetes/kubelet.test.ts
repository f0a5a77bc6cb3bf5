import { afterEach, describe, expect, it } from 'vitest'
import { kubernetesEvents } from '../../../../agent/observability/kubernetes-events.js'
import { Kubelet } from '../../../../attestors/kubernetes/kubelet.js'
import { Pods } from '../../../../attestors/kubernetes/pods.js'
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

function start() {
  const clock = new FakeClock()
  const api = new ScriptedApi()
  api.pods = [podObject()]
  const sinks = new RecordedSinks()
  const pods = new Pods(clock, NODE)
  const source = new Kubelet({ api, pods, clock, random: fixedRandom(0.5), events: kubernetesEvents(sinks, clock) })
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
    expect(sinks.events('warn')).toEqual(['Kubernetes does not say which pods run here'])
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

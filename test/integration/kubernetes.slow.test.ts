import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KubernetesApiDouble } from '../support/kubernetes-api.js'
import { podObject } from '../support/kubernetes-pods.js'
import { until } from '../support/until.js'
import { busyMinute } from './support/busy-node.js'
import { startKubernetesPart } from './support/kubernetes-part.js'

let api: KubernetesApiDouble
const open: AsyncDisposable[] = []
beforeEach(async () => {
  api = await KubernetesApiDouble.start()
})
afterEach(async () => {
  for (const thing of open.splice(0)) await thing[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})
const start = async () => {
  const part = await startKubernetesPart(api, 'token-1')
  open.push(part)
  return part
}

describe('a double of the Kubernetes API', () => {
  it('with 250 pods of 30 KB and five changes a second for a minute: none missed, none stale, memory flat', async () => {
    const pods = Array.from({ length: 250 }, (_, i) => `pod-${i}`)
    const change = (name: string, n: string) => api.put(podObject({ name, labels: { n }, bulk: 30_000 }))
    for (const name of pods) change(name, '0')
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    const callers = new Map(pods.map((name) => [name, part.callerIn({ name })]))
    const minute = await busyMinute({
      pods,
      change,
      seen: async (name) => {
        const caller = callers.get(name)
        if (!caller) throw new TypeError(`no pod ${name}`)
        const { selectors } = await part.attestor.attest(caller, AbortSignal.timeout(3_000))
        return selectors.get('k8s:pod-label:n') ?? 'none'
      },
      disturb: (changes) => {
        if (changes % 10 === 0) api.bookmark()
        if (changes % 40 === 0) api.closeWatches()
        if (changes % 70 === 0) api.breakConnections()
        if (changes % 25 === 0) api.compact()
      },
    })
    expect(minute.stale).toEqual([])
    expect(minute.slowestMs).toBeLessThan(2_000)
    expect(minute.grownBytes).toBeLessThan(3_000_000)
    expect(part.sinks.events('warn')).toEqual([])
    process.stdout.write(
      `slowest change ${minute.slowestMs.toFixed(0)} ms, heap ${(minute.grownBytes / 1024).toFixed(0)} KiB more\n`,
    )
  })

  it('that says nothing on a connection that is dead: whoever waits makes the pods be listed anew', async () => {
    api.put(podObject())
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    api.mute = true
    api.put(podObject({ name: 'new' }))
    // Pods are listed anew every ten seconds at most.
    expect(await part.label({ name: 'new' }, 'app', 14_000)).toBe('web')
    expect(api.counts.list).toBe(2)
  })
})

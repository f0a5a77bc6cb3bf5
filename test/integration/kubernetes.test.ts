import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { KubernetesSettings } from '../../attestors/kubernetes/create.js'
import { KubernetesApiDouble } from '../support/kubernetes-api.js'
import { podObject } from '../support/kubernetes-pods.js'
import { until } from '../support/until.js'
import { newCa } from './support/https-server.js'
import { startKubernetesPart } from './support/kubernetes-part.js'

let api: KubernetesApiDouble
const open: AsyncDisposable[] = []
beforeEach(async () => {
  api = await KubernetesApiDouble.start()
})
afterEach(async () => {
  for (const thing of open.splice(0).reverse()) await thing[Symbol.asyncDispose]()
  await api[Symbol.asyncDispose]()
})

async function start(settings: Partial<KubernetesSettings> = {}) {
  const part = await startKubernetesPart(api, 'token-1', settings)
  open.push(part)
  return part
}
const warnings = (part: Awaited<ReturnType<typeof start>>) => part.sinks.events('warn')

describe('pods of this node, over HTTPS', () => {
  it('are listed and then watched; those of other nodes are not seen', async () => {
    api.put(podObject())
    api.put(podObject({ name: 'elsewhere', nodeName: 'worker-2' }))
    const part = await start()
    expect(await part.label({})).toBe('web')
    await until(() => api.watches === 1, { what: 'a watch' })
    api.put(podObject({ labels: { app: 'changed' } }))
    await until(async () => (await part.label({})) === 'changed', { what: 'the change' })
    expect(await part.label({ name: 'elsewhere' }, 'app', 50)).toBe('unavailable')
    expect(api.counts).toMatchObject({ list: 1, watch: 1 })
  })

  it('are waited for: a pod that starts while its process calls is attested as soon as it shows', async () => {
    api.put(podObject({ name: 'other' }))
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    const label = part.label({})
    setTimeout(() => api.put(podObject({ containers: [{ id: null }] })), 100)
    setTimeout(() => api.put(podObject()), 200)
    // The wait of the call itself is longer than the test may take.
    expect(await label).toBe('web')
  })

  it('are told to those who watch them within a moment', async () => {
    api.put(podObject())
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    let changed = 0
    using _watch = part.attestor.onChange(part.callerIn({}), () => changed++)
    api.put(podObject({ annotations: { note: 'nobody reads this' } }))
    api.put(podObject({ labels: { app: 'new' } }))
    await until(() => changed > 0, { what: 'a notice' })
    expect([changed, await part.label({})]).toEqual([1, 'new'])
  })

  it('are known by their ephemeral and init containers too', async () => {
    const wish = { initContainers: [{ name: 'setup' }], ephemeralContainers: [{ name: 'debugger' }] }
    api.put(podObject(wish))
    const part = await start()
    for (const name of ['setup', 'debugger']) {
      const { selectors } = await part.attest(wish, 3_000, name)
      expect(selectors.get('k8s:container-name')).toBe(name)
    }
  })

  it('are read in pages, and events in pieces', async () => {
    for (let i = 0; i < 25; i++) api.put(podObject({ name: `pod-${i}` }))
    api.pageSize = 10
    api.pieceBytes = 999
    const part = await start()
    expect(await part.label({ name: 'pod-24' })).toBe('web')
    await until(() => api.watches === 1, { what: 'a watch' })
    api.compact()
    api.goOn()
    api.closeWatches()
    api.put(podObject({ name: 'pod-3', labels: { app: 'ä€𝄞' } }))
    await until(async () => (await part.label({ name: 'pod-3' })) === 'ä€𝄞', { what: 'the change' })
  })
})

describe('a Kubernetes API where things go wrong', () => {
  it('is followed over watches that end, break or go on from where nothing is known any more', async () => {
    api.put(podObject())
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    const ends = [() => api.closeWatches(), () => api.breakConnections(), () => api.compact(), () => api.bookmark()]
    for (let i = 0; i < 8; i++) {
      const last = `v${i}`
      ends[i % ends.length]?.()
      if (i % ends.length === 2) {
        // While nobody watches something happens that is forgotten before anybody asks.
        api.breakConnections()
        api.goOn()
        api.put(podObject({ labels: { app: last } }))
        api.compact()
      } else api.put(podObject({ labels: { app: last } }))
      await until(async () => (await part.label({})) === last, { what: `the change after end ${i}` })
    }
    expect(warnings(part)).toEqual([])
  })

  it('withdraws nothing while it fails, and is believed again afterwards', async () => {
    api.put(podObject())
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    api.failsWith = 500
    api.breakConnections()
    await until(() => warnings(part).length > 0, { what: 'a warning' })
    expect(await part.label({})).toBe('web')
    expect(await part.label({ name: 'new' }, 'app', 100)).toBe('unavailable')
    api.put(podObject({ labels: { app: 'later' } }))
    api.put(podObject({ name: 'new' }))
    api.failsWith = null
    await until(async () => (await part.label({})) === 'later', { what: 'the change' })
    expect(await part.label({ name: 'new' })).toBe('web')
    expect(warnings(part)).toHaveLength(1)
    expect(part.sinks.events('info')).toContain('Pods of this node can be listed again')
  })

  it('that is slow is waited for', async () => {
    api.put(podObject())
    api.latencyMs = 400
    const part = await start()
    expect(await part.label({}, 'app', 100)).toBe('unavailable')
    expect(await part.label({}, 'app', 5_000)).toBe('web')
  })

  it('accepts tokens that rotate, before and after the old one ends', async () => {
    api.put(podObject())
    const part = await start()
    expect(await part.label({})).toBe('web')
    await until(() => api.watches === 1, { what: 'a watch' })
    api.tokens.add('token-2')
    await part.rotate('token-2')
    api.tokens.delete('token-1')
    api.closeWatches()
    api.put(podObject({ labels: { app: 'second' } }))
    await until(async () => (await part.label({})) === 'second', { what: 'the change' })
    expect(warnings(part)).toEqual([])
    api.tokens.clear()
    api.closeWatches()
    await until(() => warnings(part).length === 1, { what: 'a warning' })
    api.tokens.add('token-3')
    await part.rotate('token-3')
    api.put(podObject({ labels: { app: 'third' } }))
    await until(async () => (await part.label({})) === 'third', { what: 'the change' })
  })

  it('forbids to watch: the list is asked for again when somebody waits', async () => {
    api.rights.delete('watch')
    api.put(podObject())
    const part = await start()
    expect(await part.label({})).toBe('web')
    const label = part.label({ name: 'new' })
    setTimeout(() => api.put(podObject({ name: 'new' })), 50)
    expect(await label).toBe('web')
    expect(api.counts.watch).toBe(1)
  })

  it('forbids to list: the platform is unavailable, and the warning names what is needed', async () => {
    api.rights.clear()
    const part = await start()
    expect(await part.label({}, 'app', 300)).toBe('unavailable')
    const line = part.sinks.lines.find(({ level }) => level === 'warn')
    expect(String(line?.fields['error'])).toContain('get, list and watch on pods')
  })

  it('has another authority than the file says: nothing is sent to it until the file is right', async () => {
    api.put(podObject())
    const part = await start()
    expect(await part.label({})).toBe('web')
    await until(() => api.watches === 1, { what: 'a watch' })
    await part.trust((await newCa('another')).pem)
    api.breakConnections()
    await until(() => warnings(part).length === 1, { what: 'a warning' })
    const asked = api.counts.watch
    expect(await part.label({})).toBe('web')
    await part.trust(api.caPem)
    await until(() => api.counts.watch > asked, { what: 'another watch' })
  })
})

describe('the kubelet of this node', () => {
  it('is asked for pods, and again for those that are unknown', async () => {
    api.put(podObject())
    const part = await start({ source: 'kubelet' })
    expect(await part.label({})).toBe('web')
    const label = part.label({ name: 'new' })
    setTimeout(() => api.put(podObject({ name: 'new' })), 50)
    expect(await label).toBe('web')
    expect([api.counts.list, api.counts.watch]).toEqual([0, 0])
  })
})

describe('250 pods', () => {
  it('and 300 changes: none is missed, and what is seen is never older than what was seen before', async () => {
    const last = new Map<string, string>()
    const change = (name: string, n: number) => {
      last.set(name, String(n))
      api.put(podObject({ name, labels: { n: String(n) } }))
    }
    for (let i = 0; i < 250; i++) change(`pod-${i}`, 0)
    const part = await start()
    await until(() => api.watches === 1, { what: 'a watch' })
    const seen = new Map<string, number>()
    const stale: string[] = []
    const watches = Array.from({ length: 10 }, (_, i) => {
      const name = `pod-${i}`
      const caller = part.callerIn({ name })
      return part.attestor.onChange(caller, async () => {
        const { selectors } = await part.attestor.attest(caller, new AbortController().signal)
        const n = Number(selectors.get('k8s:pod-label:n'))
        if (n < (seen.get(name) ?? 0)) stale.push(`${name}: ${n} after ${seen.get(name)}`)
        seen.set(name, n)
      })
    })
    for (let n = 1; n <= 300; n++) {
      // Every third change is of a pod that is watched by somebody.
      change(n % 3 === 0 ? `pod-${(n / 3) % 10}` : `pod-${n % 250}`, n)
      if (n % 60 === 0) api.breakConnections()
      if (n % 100 === 0) {
        api.compact()
        api.closeWatches()
      }
      if (n % 5 === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    const names = [...last.keys()]
    await until(
      async () => {
        const labels = await Promise.all(names.map((name) => part.label({ name }, 'n')))
        return names.every((name, i) => labels[i] === last.get(name))
      },
      { what: 'the last labels' },
    )
    expect(stale).toEqual([])
    expect(Object.fromEntries(seen)).toEqual(
      Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`pod-${i}`, Number(last.get(`pod-${i}`))])),
    )
    for (const watch of watches) watch[Symbol.dispose]()
    expect(warnings(part)).toEqual([])
  })
})

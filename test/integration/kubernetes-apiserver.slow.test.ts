import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Caller, callerOf } from '../../agent/attestation/caller.js'
import { FakeKernel } from '../fakes/kernel.js'
import { KubeApiserver } from '../support/kube-apiserver.js'
import { kubeUnavailable } from '../support/kube-binaries.js'
import { cgroupOf, containerId, type PodWish, podObject } from '../support/kubernetes-pods.js'
import { until } from '../support/until.js'
import { busyMinute } from './support/busy-node.js'
import { startKubernetesPart } from './support/kubernetes-part.js'

const unavailable = kubeUnavailable()
/** Where the binaries must be built first. */
const BUILD_MS = 45 * 60_000

describe.skipIf(unavailable !== null)(
  `against a real kube-apiserver${unavailable ? ` (skipped: ${unavailable})` : ''}`,
  () => {
    let api: KubeApiserver
    const open: AsyncDisposable[] = []
    const uids = new Map<string, string>()
    const kernel = new FakeKernel()
    beforeAll(async () => {
      api = await KubeApiserver.start()
    }, BUILD_MS)
    afterAll(() => api?.[Symbol.asyncDispose]())
    afterEach(async () => {
      for (const part of open.splice(0)) await part[Symbol.asyncDispose]()
    })

    const create = async (wish: PodWish & { readonly name: string }) => {
      const container = { id: containerId(wish.name), ...wish.containers?.[0] }
      uids.set(wish.name, await api.create(podObject({ ...wish, containers: [container] })))
    }
    /** The part of an agent with an account of its own. */
    const start = async (account: string, verbs: readonly string[]) => {
      const part = await startKubernetesPart(api, await api.account(account, verbs))
      open.push(part)
      const callers = new Map<string, Caller>()
      const callerIn = (name: string) => {
        const cgroup = cgroupOf(uids.get(name) ?? '', containerId(name))
        const caller = callers.get(name) ?? callerOf(kernel.peer(kernel.spawn({ files: { cgroup } })))
        callers.set(name, caller)
        return caller
      }
      const label = async (name: string, key = 'app', ms = 3_000) => {
        const { selectors, unavailable } = await part.attestor.attest(callerIn(name), AbortSignal.timeout(ms))
        return selectors.get(`k8s:pod-label:${key}`) ?? (unavailable.length > 0 ? 'unavailable' : 'none')
      }
      const warnings = () => part.sinks.events('warn')
      const watching = () =>
        until(() => part.sinks.total('icp_agent_kubernetes_requests_total', { endpoint: 'watch', outcome: 'ok' }) > 0, {
          what: 'a watch',
        })
      return { ...part, callerIn, label, warnings, watching }
    }

    it('get, list and watch on pods are all the rights that are needed', async () => {
      await create({ name: 'first' })
      const part = await start('agent', ['get', 'list', 'watch'])
      expect(await part.label('first')).toBe('web')
      await part.watching()
      const began = performance.now()
      let heard = 0
      using _watch = part.attestor.onChange(part.callerIn('first'), () => {
        heard ||= performance.now() - began
      })
      await api.label('first', { app: 'changed' })
      await until(() => heard > 0, { what: 'the change' })
      expect(heard).toBeLessThan(2_000)
      expect(await part.label('first')).toBe('changed')
      await create({ name: 'second' })
      expect(await part.label('second')).toBe('web')
      await api.delete('second')
      await until(async () => (await part.label('second', 'app', 50)) === 'none', { what: 'the end of the pod' })
      expect(part.warnings()).toEqual([])
    })

    it('without the right to watch the list is polled', async () => {
      await create({ name: 'polled' })
      const part = await start('older', ['get', 'list'])
      expect(await part.label('polled')).toBe('web')
      using _watch = part.attestor.onChange(part.callerIn('polled'), () => undefined)
      await api.label('polled', { app: 'changed' })
      await until(async () => (await part.label('polled')) === 'changed', { what: 'the change', seconds: 10 })
      await until(() => part.warnings().length > 0, { what: 'a warning' })
      expect(part.warnings()).toEqual(['Kubernetes forbids watching pods; the list is polled'])
    })

    it('without any right the platform is unavailable, until there is one', async () => {
      await create({ name: 'hidden' })
      const part = await start('nobody', ['get'])
      expect(await part.label('hidden', 'app', 500)).toBe('unavailable')
      expect(part.warnings()).toEqual(['Pods of this node cannot be listed'])
      await api.allow('nobody', ['get', 'list', 'watch'])
      await until(async () => (await part.label('hidden')) === 'web', { what: 'the right', seconds: 30 })
    })

    it('a server that is killed and comes back is followed from where it was', async () => {
      await create({ name: 'steady' })
      const part = await start('restarts', ['get', 'list', 'watch'])
      await part.watching()
      await api.stop()
      await until(() => part.warnings().length > 0, { what: 'a warning' })
      expect(await part.label('steady')).toBe('web')
      await api.startAgain()
      await api.label('steady', { app: 'after' })
      await until(async () => (await part.label('steady')) === 'after', { what: 'the change', seconds: 20 })
      expect(part.warnings()).toHaveLength(1)
    })

    it('250 pods and five changes a second for a minute: no label is missed, none is stale', async () => {
      const pods = Array.from({ length: 250 }, (_, i) => `pod-${i}`)
      for (const name of pods) await create({ name, labels: { n: '0' } })
      const part = await start('busy', ['get', 'list', 'watch'])
      await part.watching()
      const minute = await busyMinute({
        pods,
        change: (name, n) => api.label(name, { n }),
        seen: (name) => part.label(name, 'n'),
      })
      expect(minute.stale).toEqual([])
      expect(minute.slowestMs).toBeLessThan(2_000)
      expect(minute.grownBytes).toBeLessThan(3_000_000)
      expect(part.warnings()).toEqual([])
      process.stdout.write(`the slowest of 300 changes was known after ${minute.slowestMs.toFixed(0)} ms\n`)
    })
  },
)

import { expect, test } from 'vitest'
import { decide } from '../../agent/workload-api/decision.js'
import { Explainer } from '../../agent/workload-api/explainer.js'
import { Workloads } from '../../agent/workload-api/workloads.js'
import { placeFinder } from '../../attestors/places.js'
import { entryOf, issuedOf, snapshotOf } from '../fakes/identities.js'
import { workloadContext } from '../fakes/workload.js'
import { KubernetesApiDouble } from '../support/kubernetes-api.js'
import { podObject } from '../support/kubernetes-pods.js'
import { until } from '../support/until.js'
import { startKubernetesPart } from './support/kubernetes-part.js'

const HOLD = 4_000

test('a pod by its name, over HTTPS: the first process of its container is told what it then gets', async () => {
  await using api = await KubernetesApiDouble.start()
  const pod = podObject()
  api.put(pod)
  await using part = await startKubernetesPart(api, 'token-1')
  await until(() => api.watches === 1, { what: 'a watch' })
  const { kernel, clock, attestor } = part
  const caller = part.callerIn({})
  part.callerIn({ name: 'elsewhere' })
  const context = workloadContext({ kernel, clock, attestors: [attestor] })
  const entries = [
    entryOf('mine', { selectors: { 'k8s:ns': pod.metadata.namespace, 'k8s:pod-label:app': 'web' } }),
    entryOf('near', { selectors: { 'k8s:ns': pod.metadata.namespace, 'k8s:pod-label:app': 'db' } }),
  ]
  const mine = issuedOf('mine', { notAfter: clock.now() + 3_600_000 })
  context.store.publish(snapshotOf(entries, { mine }), { entries: 'all', bundles: true })
  const explainer = new Explainer({
    ...context,
    holdMs: HOLD,
    knownOf: () => new Map(),
    turn: async () => undefined,
    places: placeFinder(kernel, part),
  })
  const { namespace, name } = pod.metadata
  const signal = new AbortController().signal
  const { processes } = await explainer.explain({ pod: { namespace, name } }, signal)
  expect(processes).toMatchObject([{ pid: caller.pid, container: { name: expect.any(String) } }])
  const explanation = processes[0]?.explanation
  expect(explanation?.nearest).toMatchObject([
    { id: 'near', lacks: [{ key: 'k8s:pod-label:app', wanted: 'db', found: 'web' }] },
  ])
  using workloads = new Workloads(context)
  const workload = workloads.acquire(caller)
  await until(() => workload.state.kind === 'attested', { what: 'an attestation' })
  const input = { ...workload.decisionInput(), heldForMs: 0, holdMs: HOLD, served: null, stopping: false }
  expect(decide({ ...input, now: clock.now() })).toEqual(explanation?.decision)
  expect(explanation?.decision).toEqual({ kind: 'send', ids: ['mine'] })
  workload.release()
})

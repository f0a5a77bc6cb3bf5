import { describe, expect, it } from 'vitest'
import { parsePod, samePod } from '../../../../attestors/kubernetes/pod.js'
import { containerId, podObject } from '../../../support/kubernetes-pods.js'

const containersOf = (wish: Parameters<typeof podObject>[0]) => parsePod(podObject(wish))?.containers ?? []

describe('the projection of a pod', () => {
  it('has what selectors are made of', () => {
    const pod = parsePod(
      podObject({
        labels: { app: 'web', 'app.kubernetes.io/name': 'shop' },
        annotations: { 'authsec.ai/client-id': 'c1', 'authsec.ai/agent-type': 'planner', other: 'x' },
        owners: [{ kind: 'ReplicaSet', name: 'web-5d8', controller: true }],
      }),
    )
    expect(pod).toMatchObject({
      hash: null,
      namespace: 'shop',
      name: 'web-1',
      serviceAccount: 'web',
      nodeName: 'worker-1',
      owners: [{ kind: 'ReplicaSet', name: 'web-5d8', controller: true }],
    })
    expect(pod?.labels.get('app.kubernetes.io/name')).toBe('shop')
    expect([...(pod?.annotations.keys() ?? [])]).toEqual(['authsec.ai/client-id', 'authsec.ai/agent-type'])
  })

  it('has nothing else: neither managed fields nor environments', () => {
    const pod = parsePod(podObject({ bulk: 100_000 }))
    const kept = JSON.stringify(pod, (_key, value: unknown) => (value instanceof Map ? [...value] : value))
    expect(kept.length).toBeLessThan(1_000)
    expect(kept).not.toContain('never kept')
  })

  it.each(['containerd', 'docker', 'cri-o', 'docker-pullable'])('has container ids without %s://', (runtime) => {
    expect(containersOf({ containers: [{ runtime, id: 'ab'.repeat(32) }] })[0]?.id).toBe('ab'.repeat(32))
  })

  it('knows init and ephemeral containers', () => {
    const wish = {
      containers: [{ name: 'app' }],
      initContainers: [{ name: 'setup' }],
      ephemeralContainers: [{ name: 'sh' }],
    }
    expect(containersOf(wish).map(({ name }) => name)).toEqual(['app', 'setup', 'sh'])
  })

  it.each(['terminated', 'waiting'] as const)(
    'leaves out a container that is %s: the id is that of an earlier run',
    (state) => {
      expect(containersOf({ containers: [{ name: 'app' }, { name: 'old', state }] }).map(({ name }) => name)).toEqual([
        'app',
      ])
    },
  )

  it('leaves out a container that has no id yet', () => {
    expect(containersOf({ containers: [{ id: null }] })).toEqual([])
  })

  it('names images as the specification does, and by digest as the runtime does', () => {
    const imageId = `docker-pullable://registry.example/web@sha256:${containerId('x')}`
    expect(containersOf({ containers: [{ image: 'web:1', imageId }] })[0]).toMatchObject({
      image: 'web:1',
      imageId: `registry.example/web@sha256:${containerId('x')}`,
    })
  })

  it('names a static pod by the hash that its control groups bear', () => {
    const hash = '0123456789abcdef0123456789abcdef'
    expect(parsePod(podObject({ annotations: { 'kubernetes.io/config.mirror': hash } }))?.hash).toBe(hash)
    expect(parsePod(podObject({ annotations: { 'kubernetes.io/config.hash': hash } }))?.hash).toBe(hash)
  })

  it.each([
    ['nothing', null],
    ['a text', 'pod'],
    ['an object of another kind', { kind: 'Status', metadata: {} }],
    ['a pod without uid', { ...podObject(), metadata: { ...podObject().metadata, uid: undefined } }],
    ['labels that are no texts', { ...podObject(), metadata: { ...podObject().metadata, labels: { a: 1 } } }],
    ['a list in the place of the specification', { ...podObject(), spec: [] }],
  ])('is none of %s', (_what, object) => {
    expect(parsePod(object)).toBeNull()
  })

  it('needs neither labels nor owners nor a status', () => {
    const { metadata, spec } = podObject()
    const { labels: _l, annotations: _a, ownerReferences: _o, managedFields: _m, ...bare } = metadata
    expect(parsePod({ metadata: bare, spec: { containers: spec.containers } })).toMatchObject({
      owners: [],
      containers: [],
      serviceAccount: '',
    })
  })

  it('is the same when only that changed which nobody reads', () => {
    const { status, ...rest } = podObject()
    const later = { ...rest, status: { ...status, conditions: [], phase: 'Pending' } }
    const [a, b, c] = [
      parsePod(podObject()),
      parsePod(later),
      parsePod(podObject({ labels: { app: 'web', tier: 'x' } })),
    ]
    if (!a || !b || !c) throw new TypeError('these are pods')
    expect(samePod(a, b)).toBe(true)
    expect(samePod(a, c)).toBe(false)
  })
})

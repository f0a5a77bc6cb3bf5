import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { parsePod } from '../../../../attestors/kubernetes/pod.js'
import { type SelectorSettings, selectorsOf } from '../../../../attestors/kubernetes/selectors.js'
import { containerId, type PodWish, podObject, podUid } from '../../../support/kubernetes-pods.js'

const TENANT = '11111111-2222-4333-8444-555555555555'

function selectors(wish: PodWish, settings: Partial<SelectorSettings> = {}) {
  const pod = parsePod(podObject(wish))
  const container = pod?.containers.at(-1)
  if (!pod || !container) throw new TypeError('no container in this pod')
  const all = { clusterName: '', authsecNamespaces: [], tenantId: TENANT, ...settings }
  const { selectors, notes } = selectorsOf(pod, container, all)
  return { selectors: Object.fromEntries(selectors), notes }
}

describe('the selectors of a pod', () => {
  it('are all spellings of what is known', () => {
    const uid = podUid('u')
    expect(selectors({ uid, labels: { app: 'web', 'a.b/c': '' } }, { clusterName: 'prod' }).selectors).toEqual({
      'k8s:ns': 'shop',
      'k8s:namespace': 'shop',
      'k8s:sa': 'web',
      'k8s:service-account': 'web',
      'k8s:pod-name': 'web-1',
      'k8s:pod': 'web-1',
      'k8s:pod-uid': uid,
      'k8s:node-name': 'worker-1',
      'node:name': 'worker-1',
      'k8s:container-name': 'app0',
      'k8s:container-image': 'registry.example/web:1.2',
      'k8s:pod-image': 'registry.example/web:1.2',
      'k8s:pod-image-id': `registry.example/web@sha256:${containerId('registry.example/web:1.2')}`,
      'k8s:pod-label:app': 'web',
      'k8s:pod-label:a.b/c': '',
      'k8s:cluster': 'prod',
    })
  })

  it('are those of the calling container, not of its neighbours', () => {
    const containers = [
      { name: 'proxy', image: 'envoy:1' },
      { name: 'app', image: 'web:2' },
    ]
    expect(selectors({ containers }).selectors).toMatchObject({ 'k8s:container-name': 'app', 'k8s:pod-image': 'web:2' })
  })

  it('have no cluster where none is configured', () => {
    expect(selectors({}).selectors).not.toHaveProperty('k8s:cluster')
  })

  it('name every owner, and by kind the one that manages the pod', () => {
    const owners = [
      { kind: 'Widget', name: 'managing', controller: true },
      { kind: 'Widget', name: 'other' },
      { kind: 'StatefulSet', name: 'db' },
    ]
    expect(selectors({ owners }).selectors).toMatchObject({
      'k8s:pod-owner-widget': 'managing',
      'k8s:pod-owner-statefulset': 'db',
      'k8s:pod-owner:Widget:managing': 'true',
      'k8s:pod-owner:Widget:other': 'true',
      'k8s:pod-owner:StatefulSet:db': 'true',
    })
  })

  it('name the deployment of a replica set that one made', () => {
    const owners = [{ kind: 'ReplicaSet', name: 'web-shop-5d8f7', controller: true }]
    expect(selectors({ owners, labels: { 'pod-template-hash': '5d8f7' } }).selectors).toMatchObject({
      'k8s:pod-owner-replicaset': 'web-shop-5d8f7',
      'k8s:pod-owner-deployment': 'web-shop',
    })
  })

  it.each([
    ['without the mark of a deployment', { app: 'web' }],
    ['with the mark of another one', { 'pod-template-hash': '99999' }],
    ['with an empty mark', { 'pod-template-hash': '' }],
  ])('name no deployment of a replica set %s', (_what, labels) => {
    const owners = [{ kind: 'ReplicaSet', name: 'web-5d8f7', controller: true }]
    expect(selectors({ owners, labels: labels as Record<string, string> }).selectors).not.toHaveProperty(
      'k8s:pod-owner-deployment',
    )
  })

  it('are bounded, and say what they leave out', () => {
    const labels = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`l${i}`, 'x']))
    const owners = Array.from({ length: 20 }, (_, i) => ({ kind: 'Widget', name: `w${i}`, controller: i === 0 }))
    const result = selectors({ labels, owners })
    expect(Object.keys(result.selectors).filter((key) => key.startsWith('k8s:pod-label:'))).toHaveLength(256)
    expect(result.selectors).toMatchObject({ 'k8s:pod-owner-widget': 'w0' })
    expect(result.notes).toEqual(['44 labels left out', '4 owners left out'])
  })
})

describe('an AI agent', () => {
  const named = { labels: { 'authsec.ai/client-id': 'client-7' }, annotations: { 'authsec.ai/agent-type': 'planner' } }

  it('is named by label or annotation, with the account of the agent, where the namespace may', () => {
    expect(selectors(named, { authsecNamespaces: ['shop'] }).selectors).toMatchObject({
      'authsec:client_id': 'client-7',
      'authsec:agent_type': 'planner',
      'authsec:tenant_id': TENANT,
      'authsec:workspace_id': TENANT,
    })
  })

  it.each([[[]], [['other', 'shop-2']]])('is not named by a pod of another namespace (%j)', (authsecNamespaces) => {
    const result = selectors(named, { authsecNamespaces })
    expect(Object.keys(result.selectors).filter((key) => key.startsWith('authsec:'))).toEqual([])
    expect(result.notes).toHaveLength(1)
  })

  it('is named by the label where the annotation says otherwise', () => {
    const both = { labels: { 'authsec.ai/client-id': 'a' }, annotations: { 'authsec.ai/client-id': 'b' } }
    expect(selectors(both, { authsecNamespaces: ['shop'] }).selectors['authsec:client_id']).toBe('a')
  })

  it('has no account without a client id', () => {
    const result = selectors({ annotations: { 'authsec.ai/agent-type': 'planner' } }, { authsecNamespaces: ['shop'] })
    expect(Object.keys(result.selectors).filter((key) => key.startsWith('authsec:'))).toEqual(['authsec:agent_type'])
  })

  it.each(['x'.repeat(256), 'a\nb', '\u202eabc'])(
    'is not named by an annotation that nobody can read (%#)',
    (value) => {
      const result = selectors({ annotations: { 'authsec.ai/client-id': value } }, { authsecNamespaces: ['shop'] })
      expect(Object.keys(result.selectors).filter((key) => key.startsWith('authsec:'))).toEqual([])
      expect(result.notes).toHaveLength(1)
    },
  )
})

describe('docs/attestors/kubernetes.md', () => {
  it('names every selector, and none that does not exist', () => {
    const page = readFileSync(join(import.meta.dirname, '../../../../docs/attestors/kubernetes.md'), 'utf8')
    const table = page.split('## Selectors')[1]?.split('\nAn entry')[0] ?? ''
    const documented = table
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`([^`]+)`/g)].map((match) => match[1] ?? ''))
    const all = selectors(
      {
        labels: { a: 'x', 'pod-template-hash': '5d8', 'authsec.ai/client-id': 'c', 'authsec.ai/agent-type': 't' },
        owners: [{ kind: 'ReplicaSet', name: 'web-5d8', controller: true }],
      },
      { clusterName: 'c', authsecNamespaces: ['shop'] },
    )
    const emitted = Object.keys(all.selectors).map((key) =>
      key
        .replace(/^k8s:pod-label:.*/, 'k8s:pod-label:<key>')
        .replace(/^k8s:pod-owner:.*/, 'k8s:pod-owner:<Kind>:<name>')
        .replace('k8s:pod-owner-replicaset', 'k8s:pod-owner-<kind>'),
    )
    expect([...new Set(emitted)].sort()).toEqual(documented.sort())
  })
})

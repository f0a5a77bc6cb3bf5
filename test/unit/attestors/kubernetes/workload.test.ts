import { describe, expect, it } from 'vitest'
import { callerOf } from '../../../../agent/attestation/caller.js'
import { parsePod } from '../../../../attestors/kubernetes/pod.js'
import { Pods } from '../../../../attestors/kubernetes/pods.js'
import { KubernetesWorkloadAttestor } from '../../../../attestors/kubernetes/workload.js'
import { containerOf } from '../../../../attestors/shared/cgroup.js'
import { FakeClock } from '../../../fakes/clock.js'
import { FakeKernel } from '../../../fakes/kernel.js'
import { cgroupOf, containerId, NODE, type PodWish, podObject } from '../../../support/kubernetes-pods.js'

function parsed(wish: PodWish = {}) {
  const pod = parsePod(podObject(wish))
  if (!pod) throw new TypeError('no pod')
  return pod
}

function setUp(...known: PodWish[]) {
  const clock = new FakeClock()
  const pods = new Pods(clock, NODE)
  if (known.length > 0) pods.replace(known.map(parsed), clock.monotonic())
  const kernel = new FakeKernel()
  const source = {
    wanted: 0,
    asked: 0,
    want: () => void source.wanted++,
    current: async () => void source.asked++,
  }
  const attestor = (authsecNamespaces: readonly string[] = []) =>
    new KubernetesWorkloadAttestor({
      locate: (caller) => containerOf(caller.process.read('cgroup'), ''),
      pods,
      source,
      settings: { clusterName: 'prod', authsecNamespaces, tenantId: 't' },
      containerWaitMs: 30_000,
    })
  const processIn = (wish: PodWish, container = 'app0') => {
    const { uid } = parsed(wish)
    return kernel.spawn({ files: { cgroup: cgroupOf(uid, containerId(`${uid}/${container}`)) } })
  }
  const callerIn = (wish: PodWish, container?: string) => callerOf(kernel.peer(processIn(wish, container)))
  return { clock, pods, kernel, source, attestor, processIn, callerIn }
}

describe('a process in a pod', () => {
  it('has the selectors of its pod and container, without any request', async () => {
    const wish = { containers: [{ name: 'app0' }, { name: 'side' }] }
    const { attestor, callerIn, source } = setUp(wish, { name: 'other' })
    const { selectors, unavailable } = await attestor().attest(callerIn(wish, 'side'), new AbortController().signal)
    expect(selectors.get('k8s:pod-name')).toBe('web-1')
    expect(selectors.get('k8s:container-name')).toBe('side')
    expect(selectors.get('k8s:cluster')).toBe('prod')
    expect(unavailable).toEqual([])
    expect(source.wanted).toBe(0)
  })

  it('has the same selectors, as the same object, until its pod changes', async () => {
    const { attestor, callerIn, pods } = setUp({})
    const [one, caller] = [attestor(), callerIn({})]
    const attest = async () => (await one.attest(caller, new AbortController().signal)).selectors
    const first = await attest()
    expect(await attest()).toBe(first)
    pods.put(parsed({ labels: { app: 'new' } }))
    expect((await attest()).get('k8s:pod-label:app')).toBe('new')
  })

  it('is waited for when its pod is not known yet', async () => {
    const { attestor, callerIn, pods, clock, source } = setUp({ name: 'other' })
    const result = attestor().attest(callerIn({}), new AbortController().signal)
    await clock.advance('1500ms')
    expect(source.wanted).toBe(2)
    pods.put(parsed({ containers: [{ id: null }] }))
    await clock.advance('100ms')
    pods.put(parsed())
    expect((await result).selectors.get('k8s:pod-name')).toBe('web-1')
    expect(clock.pending).toBe(0)
  })

  it('has selectors that are unavailable, and is not denied, when its pod stays unknown until the deadline', async () => {
    const { attestor, callerIn, clock } = setUp({ name: 'other' })
    const deadline = new AbortController()
    const result = attestor().attest(callerIn({}), deadline.signal)
    await clock.advance('3s')
    deadline.abort()
    expect(await result).toMatchObject({ unavailable: ['k8s', 'node'] })
    expect((await result).selectors.size).toBe(0)
    expect((await result).notes).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  it('has no selectors, and none is unavailable, when there is no such pod', async () => {
    const { attestor, callerIn, pods, clock } = setUp({ name: 'other' }, { name: 'third' })
    const caller = callerIn({ name: 'third' })
    pods.remove(parsed({ name: 'third' }).uid)
    expect(await attestor().attest(caller, new AbortController().signal)).toMatchObject({ unavailable: [] })
    const unseen = attestor().attest(callerIn({}), new AbortController().signal)
    await clock.advance('5s')
    pods.replace([parsed({ name: 'other' })], clock.monotonic())
    expect(await unseen).toMatchObject({ unavailable: [], selectors: new Map() })
  })

  it('keeps its selectors while the platform is away', async () => {
    const { attestor, callerIn, pods } = setUp({})
    pods.fellBehind('away')
    const { selectors } = await attestor().attest(callerIn({}), new AbortController().signal)
    expect(selectors.get('k8s:ns')).toBe('shop')
  })

  it('cannot be told of a namespace where its selectors are unavailable: its agent id is unavailable too', async () => {
    const { attestor, callerIn } = setUp({ name: 'other' })
    expect(attestor().platforms).toEqual(['k8s', 'node'])
    expect(attestor(['agents']).platforms).toEqual(['k8s', 'node', 'authsec'])
    const result = await attestor(['agents']).attest(callerIn({}), AbortSignal.abort())
    expect(result.unavailable).toEqual(['k8s', 'node', 'authsec'])
  })

  it('that has ended throws', async () => {
    const { attestor, processIn, kernel } = setUp({})
    const process = processIn({})
    const caller = callerOf(kernel.peer(process))
    process.exit()
    await expect(attestor().attest(caller, new AbortController().signal)).rejects.toMatchObject({
      code: 'caller.exited',
    })
  })
})

describe('a process in no pod', () => {
  it('has no selectors, asks for none and is watched by nobody', async () => {
    const { attestor, kernel, pods, source } = setUp({})
    const caller = callerOf(kernel.peer(kernel.spawn()))
    expect(await attestor().attest(caller, new AbortController().signal)).toMatchObject({
      selectors: new Map(),
      unavailable: [],
    })
    using _watch = attestor().onChange(caller, () => {})
    expect([pods.watched, source.asked]).toEqual([false, 0])
  })
})

describe('a change of its pod', () => {
  it('is told until nobody listens', () => {
    const { attestor, callerIn, pods } = setUp({}, { name: 'other' })
    let changes = 0
    const watch = attestor().onChange(callerIn({}), () => changes++)
    pods.put(parsed({ labels: { app: 'new' } }))
    pods.put(parsed({ name: 'other', labels: { app: 'new' } }))
    pods.remove(parsed().uid)
    expect(changes).toBe(2)
    watch[Symbol.dispose]()
    pods.put(parsed())
    expect([changes, pods.watched]).toEqual([2, false])
  })
})

describe('a container that the status of its pod does not show yet', () => {
  const attest = async (wish: PodWish, container: string, ...known: PodWish[]) => {
    const { attestor, callerIn } = setUp(...known)
    return await attestor().attest(callerIn(wish, container), AbortSignal.abort())
  }

  it.each<[string, PodWish]>([
    ['all containers are created', { containers: [{ state: 'waiting' }, { state: 'waiting' }] }],
    ['another one runs its postStart hook', { containers: [{}, { state: 'waiting' }] }],
    ['it is started again', { containers: [{ state: 'terminated' }] }],
  ])('is worth waiting for while %s', async (_what, wish) => {
    const { unavailable, waitMs } = await attest(wish, 'app9', wish)
    expect(unavailable).toEqual(['k8s', 'node'])
    expect(waitMs).toBe(30_000)
  })

  it.each<[string, PodWish, readonly PodWish[]]>([
    ['all containers run: it is the pause container', {}, [{}]],
    [
      'init containers have ended',
      { initContainers: [{ state: 'terminated' }] },
      [{ initContainers: [{ state: 'terminated' }] }],
    ],
    ['the pod is unknown', { name: 'unknown' }, [{}]],
  ])('is not where %s', async (_what, wish, known) => {
    const { unavailable, waitMs } = await attest(wish, 'app9', ...known)
    expect(unavailable).toEqual(['k8s', 'node'])
    expect(waitMs ?? 0).toBe(0)
  })
})

import { describe, expect, it } from 'vitest'
import { type Pod, parsePod } from '../../../../attestors/kubernetes/pod.js'
import { Pods } from '../../../../attestors/kubernetes/pods.js'
import { FakeClock } from '../../../fakes/clock.js'
import { containerId, type PodWish, podObject, podUid } from '../../../support/kubernetes-pods.js'

function pod(wish: PodWish = {}): Pod {
  const parsed = parsePod(podObject(wish))
  if (!parsed) throw new TypeError('no pod')
  return parsed
}
const placeIn = ({ uid, containers }: Pod) => ({ podUid: uid, containerId: containers[0]?.id ?? '' })
const stranger = { podUid: podUid('stranger'), containerId: containerId('stranger') }

function setUp(...known: Pod[]) {
  const clock = new FakeClock()
  const pods = new Pods(clock, 'worker-1')
  if (known.length > 0) pods.replace(known, clock.monotonic())
  return { clock, pods }
}

describe('a container in a pod', () => {
  it('is known by the uid of the pod and its own id, both', () => {
    const [a, b] = [pod({ name: 'a' }), pod({ name: 'b' })]
    const { pods } = setUp(a, b)
    expect(pods.find(placeIn(a))).toMatchObject({ kind: 'known', pod: { name: 'a' } })
    expect(pods.find({ ...placeIn(a), containerId: placeIn(b).containerId })).toMatchObject({ kind: 'unknown' })
    expect(pods.find({ ...placeIn(a), podUid: stranger.podUid })).toMatchObject({ kind: 'unknown' })
  })

  it('that has ended is not known any more, and nobody is denied for it', () => {
    const { pods } = setUp(pod())
    const place = placeIn(pod())
    pods.put(pod({ containers: [{ state: 'terminated' }] }))
    expect(pods.find(place).kind).toBe('unknown')
  })

  it('of a static pod is known by the hash in its control groups', () => {
    const hash = '0123456789abcdef0123456789abcdef'
    const mirror = pod({ name: 'etcd', annotations: { 'kubernetes.io/config.mirror': hash } })
    const { pods } = setUp(mirror)
    expect(pods.find({ ...placeIn(mirror), podUid: hash })).toMatchObject({ kind: 'known', pod: { uid: mirror.uid } })
    expect(pods.find({ podUid: hash, containerId: stranger.containerId }).kind).toBe('unknown')
  })

  it('is not taken over by a pod that calls itself static with the uid of another', () => {
    const victim = pod({ name: 'victim' })
    const thief = pod({ name: 'thief', annotations: { 'kubernetes.io/config.hash': victim.uid } })
    for (const order of [
      [victim, thief],
      [thief, victim],
    ]) {
      const { pods } = setUp(...order)
      expect(pods.find(placeIn(victim))).toMatchObject({ kind: 'known', pod: { name: 'victim' } })
      expect(pods.find({ ...placeIn(thief), podUid: victim.uid }).kind).toBe('unknown')
    }
  })
})

describe('a pod that nobody knows', () => {
  it('is absent only after 5 s in sync, and a list that was asked for after the first question', async () => {
    const { clock, pods } = setUp(pod())
    expect(pods.find(stranger).kind).toBe('unknown')
    await clock.advance('30s')
    expect(pods.find(stranger).kind).toBe('unknown')
    pods.replace([pod()], clock.monotonic())
    expect(pods.find(stranger).kind).toBe('absent')
  })

  it('is not absent right after the list', async () => {
    const { clock, pods } = setUp(pod())
    pods.find(stranger)
    await clock.advance('2s')
    pods.replace([pod()], clock.monotonic())
    expect(pods.find(stranger).kind).toBe('unknown')
    await clock.advance('3s')
    expect(pods.find(stranger).kind).toBe('absent')
  })

  it('is not absent while the platform is away', async () => {
    const { clock, pods } = setUp(pod())
    pods.find(stranger)
    await clock.advance('10s')
    pods.replace([pod()], clock.monotonic())
    pods.fellBehind('away')
    expect(pods.find(stranger)).toEqual({ kind: 'unknown', why: 'away' })
    pods.caughtUp()
    expect(pods.find(stranger).kind).toBe('absent')
  })

  it('has its grace again when it came and went unseen', async () => {
    const { clock, pods } = setUp(pod())
    pods.find(stranger)
    await clock.advance('10s')
    pods.replace([pod()], clock.monotonic())
    const late = { ...pod({ name: 'late' }), uid: stranger.podUid }
    pods.put(late)
    expect(pods.find(stranger).kind).toBe('unknown')
    expect(pods.find(placeIn(late)).kind).toBe('known')
  })

  it('is absent at once when it was deleted', () => {
    const { pods } = setUp(pod(), pod({ name: 'other' }))
    pods.remove(pod().uid)
    expect(pods.find(placeIn(pod())).kind).toBe('absent')
    pods.put(pod())
    expect(pods.find(placeIn(pod())).kind).toBe('known')
  })

  it('is absent when two lists do not have it any more, ten seconds apart', async () => {
    const { clock, pods } = setUp(pod(), pod({ name: 'other' }))
    for (const [wait, found] of [
      [0, 'known'],
      [9_000, 'known'],
      [1_000, 'absent'],
    ] as const) {
      await clock.advance(wait)
      pods.replace([pod({ name: 'other' })], clock.monotonic())
      expect(pods.find(placeIn(pod())).kind).toBe(found)
    }
  })

  it('that a list shows again was never gone', async () => {
    const { clock, pods } = setUp(pod(), pod({ name: 'other' }))
    for (let i = 0; i < 4; i++) {
      await clock.advance('8s')
      pods.replace(i % 2 ? [pod(), pod({ name: 'other' })] : [pod({ name: 'other' })], clock.monotonic())
      expect(pods.find(placeIn(pod())).kind).toBe('known')
    }
  })

  it('is not absent where there are no pods at all', async () => {
    const { clock, pods } = setUp(pod())
    pods.find(stranger)
    await clock.advance('10s')
    pods.replace([], clock.monotonic())
    expect([pods.find(stranger).kind, pods.find(placeIn(pod())).kind]).toEqual(['unknown', 'known'])
    await clock.advance('10s')
    pods.replace([], clock.monotonic())
    expect([pods.find(stranger).kind, pods.find(placeIn(pod())).kind]).toEqual(['unknown', 'unknown'])
  })

  it('costs no memory, however many there are', async () => {
    const { clock, pods } = setUp(pod())
    for (let i = 0; i < 5_000; i++) pods.find({ ...stranger, podUid: `uid-${i}` })
    for (let i = 0; i < 5_000; i++) {
      pods.put({ ...pod(), uid: `uid-${i}` })
      pods.remove(`uid-${i}`)
    }
    await clock.advance('10s')
    pods.replace([pod()], clock.monotonic())
    // The first were forgotten, the last are remembered.
    expect(pods.find({ ...stranger, podUid: 'uid-0' }).kind).toBe('unknown')
    expect(pods.find({ ...stranger, podUid: 'uid-4999' }).kind).toBe('absent')
  })
})

describe('those who watch a pod', () => {
  it('hear when it comes, changes and goes, and of no other', () => {
    const { pods } = setUp(pod({ name: 'other' }))
    let heard = 0
    using watch = pods.watch(pod().uid, () => heard++)
    const steps: (() => void)[] = [
      () => pods.put(pod({ name: 'other', labels: { x: 'y' } })),
      () => pods.put(pod()),
      () => pods.put(pod()),
      () => pods.put(pod({ labels: { x: 'y' } })),
      () => pods.remove(pod().uid),
    ]
    const counts = steps.map((step) => {
      step()
      return heard
    })
    expect(counts).toEqual([0, 1, 1, 2, 3])
    watch[Symbol.dispose]()
    pods.put(pod())
    expect(heard).toBe(3)
    expect(pods.watched).toBe(false)
  })

  it('hear of a static pod by its hash', () => {
    const { pods } = setUp()
    let heard = 0
    using _watch = pods.watch('hash', () => heard++)
    pods.put(pod({ annotations: { 'kubernetes.io/config.hash': 'hash' } }))
    expect(heard).toBe(1)
  })

  it('may let go and come back while they are being told', () => {
    const { pods } = setUp()
    const watches: Disposable[] = []
    let heard = 0
    const again = () => {
      heard++
      for (const watch of watches.splice(0)) watch[Symbol.dispose]()
      watches.push(pods.watch(pod().uid, again))
    }
    watches.push(pods.watch(pod().uid, again))
    pods.put(pod())
    pods.put(pod({ labels: {} }))
    expect(heard).toBe(2)
  })
})

describe('somebody who waits for a pod', () => {
  const wait = (pods: Pods, ms = 60_000, signal = new AbortController().signal) => {
    const state = { done: false }
    void pods.next(stranger.podUid, ms, signal).then(() => {
      state.done = true
    })
    return state
  }

  it.each<[string, (pods: Pods) => void]>([
    ['it comes', (pods) => pods.put({ ...pod(), uid: stranger.podUid })],
    ['all pods were listed', (pods) => pods.replace([pod()], 0)],
  ])('goes on when %s', async (_what, happens) => {
    const { clock, pods } = setUp(pod())
    const state = wait(pods)
    await clock.advance(0)
    expect([state.done, pods.waiting]).toEqual([false, 1])
    happens(pods)
    await clock.advance(0)
    expect([state.done, pods.waiting, pods.watched, clock.pending]).toEqual([true, 0, false, 0])
  })

  it('goes on after a while, and when it is told to', async () => {
    const { clock, pods } = setUp(pod())
    const stop = new AbortController()
    const [timed, told] = [wait(pods, 1_000), wait(pods, 60_000, stop.signal)]
    await clock.advance('1s')
    expect([timed.done, told.done]).toEqual([true, false])
    stop.abort()
    await clock.advance(0)
    expect([told.done, wait(pods, 60_000, stop.signal).done, clock.pending]).toEqual([true, false, 0])
  })

  it('does not begin to wait when told before', async () => {
    const { clock, pods } = setUp(pod())
    const state = wait(pods, 60_000, AbortSignal.abort())
    await clock.advance(0)
    expect([state.done, clock.pending]).toEqual([true, 0])
  })
})

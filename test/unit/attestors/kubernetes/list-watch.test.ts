import { afterEach, describe, expect, it } from 'vitest'
import { kubernetesEvents } from '../../../../agent/observability/kubernetes-events.js'
import { ListWatch } from '../../../../attestors/kubernetes/list-watch.js'
import { Pods } from '../../../../attestors/kubernetes/pods.js'
import { FakeClock } from '../../../fakes/clock.js'
import { fixedRandom } from '../../../fakes/random.js'
import { RecordedSinks } from '../../../fakes/sinks.js'
import { containerId, NODE, type PodWish, podObject } from '../../../support/kubernetes-pods.js'
import { refused, ScriptedApi, unreachable } from './scripted-api.js'

const running: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const stop of running.splice(0)) await stop()
})

function start(prepare: (api: ScriptedApi) => void = () => {}) {
  const clock = new FakeClock()
  const api = new ScriptedApi()
  const sinks = new RecordedSinks()
  const pods = new Pods(clock, NODE)
  api.pods = [podObject()]
  prepare(api)
  const events = kubernetesEvents(sinks, clock)
  const source = new ListWatch({ api, pods, nodeName: NODE, clock, random: fixedRandom(0.5), events })
  const stop = new AbortController()
  const ended = source.run(stop.signal)
  running.push(async () => {
    stop.abort()
    await ended
    expect(clock.pending, 'timers left behind').toBe(0)
  })
  /** The value of a label of the pod, or what is known instead. */
  const label = (wish: PodWish = {}, key = 'app') => {
    const found = pods.find(placeOf(wish))
    return found.kind === 'known' ? found.pod.labels.get(key) : found.kind
  }
  return { clock, api, sinks, pods, source, label }
}

function placeOf(wish: PodWish = {}) {
  const { uid } = podObject(wish).metadata
  return { podUid: uid, containerId: containerId(`${uid}/app0`) }
}

describe('the pods of this node', () => {
  it('are listed from the cache of the server, then watched from there', async () => {
    const { clock, api, label, pods } = start()
    expect(label()).toBe('unknown')
    await clock.advance(0)
    expect(Object.fromEntries(api.requests[0] ?? [])).toEqual({
      fieldSelector: 'spec.nodeName=worker-1',
      limit: '250',
      resourceVersion: '0',
    })
    expect(Object.fromEntries(api.watch.query)).toEqual({
      watch: 'true',
      fieldSelector: 'spec.nodeName=worker-1',
      resourceVersion: '100',
      allowWatchBookmarks: 'true',
      timeoutSeconds: '450',
    })
    expect(label()).toBe('web')
    expect(pods.ageMs).toBe(0)
  })

  it('are read page by page where the server gives pages', async () => {
    const page = (name: string, next?: string) => ({
      kind: 'PodList',
      metadata: { resourceVersion: '7', ...(next && { continue: next }) },
      items: [podObject({ name })],
    })
    const { clock, api, pods } = start((api) => {
      api.nextLists.push(page('a', 'next/1'), page('b', 'next/2'), page('c'))
    })
    await clock.advance(0)
    expect(pods.size).toBe(3)
    expect(api.lists.map((query) => [query.get('continue'), query.get('resourceVersion')])).toEqual([
      [null, '0'],
      ['next/1', null],
      ['next/2', null],
    ])
  })

  it('are listed in one answer when a page has expired', async () => {
    const first = { kind: 'PodList', metadata: { resourceVersion: '7', continue: 'c' }, items: [podObject()] }
    const { clock, api, pods } = start((api) => {
      api.pods = [podObject({ name: 'a' }), podObject({ name: 'b' })]
      api.nextLists.push(first, refused(410), first, refused(410))
    })
    await clock.advance(0)
    expect(pods.size).toBe(2)
    expect(Object.fromEntries(api.lists.at(-1) ?? [])).toEqual({ fieldSelector: 'spec.nodeName=worker-1' })
  })

  it('follow what the watch tells, and go on from there', async () => {
    const { clock, api, label } = start()
    await clock.advance(0)
    api.watch.event('MODIFIED', podObject({ labels: { app: 'shop' } }), '101')
    api.watch.event('ADDED', podObject({ name: 'new' }), '102')
    await clock.advance(0)
    expect([label(), label({ name: 'new' })]).toEqual(['shop', 'web'])
    api.watch.event('DELETED', podObject({ name: 'new' }), '103')
    api.watch.bookmark('200')
    await clock.advance(0)
    expect(label({ name: 'new' })).toBe('absent')
    api.watch.close()
    await clock.advance('1s')
    expect(api.watch.query.get('resourceVersion')).toBe('200')
    expect(api.lists).toHaveLength(1)
  })

  it('are watched by events that arrive in pieces, several at once, with some that nobody knows', async () => {
    const { clock, api, label } = start()
    await clock.advance(0)
    const line = JSON.stringify({ type: 'MODIFIED', object: podObject({ labels: { app: 'ä€𝄞' } }) })
    const bytes = Buffer.from(`{"type":"NEWER","object":{}}\n\n${line}\n${line.replace('ä€𝄞', 'last')}`)
    for (let at = 0; at < bytes.length; at += 7) api.watch.bytes(bytes.subarray(at, at + 7))
    await clock.advance(0)
    expect(label()).toBe('ä€𝄞')
    api.watch.text('\n')
    await clock.advance(0)
    expect(label()).toBe('last')
  })

  it('tell their watchers only of what changed', async () => {
    const { clock, api, pods } = start((api) => {
      api.pods = [podObject(), podObject({ name: 'other' })]
    })
    await clock.advance(0)
    let changes = 0
    using _watch = pods.watch(placeOf().podUid, () => changes++)
    api.watch.event('MODIFIED', podObject({ name: 'other', labels: { app: 'x' } }))
    api.watch.event('MODIFIED', { ...podObject(), status: { ...podObject().status, conditions: [] } })
    await clock.advance(0)
    expect(changes).toBe(0)
    api.watch.event('MODIFIED', podObject({ labels: { app: 'x' } }))
    await clock.advance(0)
    expect(changes).toBe(1)
  })

  it('are left out where nobody can read them, which is said once', async () => {
    const { clock, api, pods, sinks } = start((api) => {
      api.nextLists.push({
        kind: 'PodList',
        metadata: { resourceVersion: '7' },
        items: [podObject(), { metadata: { uid: 'x' } }],
      })
    })
    await clock.advance(0)
    api.watch.event('ADDED', { kind: 'Pod', metadata: {} }, '8')
    await clock.advance(0)
    expect(pods.size).toBe(1)
    expect(sinks.events('warn')).toEqual(['Kubernetes returned objects that are not valid pods; ignoring them'])
  })
})

describe('a version that the server no longer knows', () => {
  const gone = { kind: 'Status', code: 410, reason: 'Expired', message: 'too old resource version' }

  it('makes the pods be listed anew, not older than what is known', async () => {
    const { clock, api, label, sinks } = start((api) => {
      api.pods = [podObject(), podObject({ name: 'gone' })]
    })
    await clock.advance(0)
    api.pods = [podObject({ labels: { app: 'changed' } })]
    api.version = '300'
    api.watch.event('ERROR', gone)
    await clock.advance('1s')
    expect(Object.fromEntries(api.lists.at(-1) ?? [])).toEqual({
      fieldSelector: 'spec.nodeName=worker-1',
      resourceVersion: '100',
      resourceVersionMatch: 'NotOlderThan',
    })
    expect([label(), label({ name: 'gone' })]).toEqual(['changed', 'web'])
    expect(api.watch.query.get('resourceVersion')).toBe('300')
    await clock.advance('11s')
    expect(label({ name: 'gone' })).toBe('absent')
    expect(sinks.events('warn')).toEqual([])
  })

  it('makes a server that was restored to an older state withdraw nothing that it shows again ten seconds later', async () => {
    const { clock, api, label } = start((api) => {
      api.pods = [podObject(), podObject({ name: 'younger' })]
    })
    await clock.advance(0)
    const all = api.pods
    api.pods = [podObject()]
    api.watch.event('ERROR', gone)
    await clock.advance('5s')
    expect(label({ name: 'younger' })).toBe('web')
    api.pods = all
    await clock.advance('1m')
    expect(label({ name: 'younger' })).toBe('web')
  })

  it('may be told by the status of the answer', async () => {
    const { clock, api } = start((api) => {
      api.nextWatches.push(refused(410))
    })
    await clock.advance('1s')
    expect([api.lists.length, api.watches.length]).toEqual([2, 1])
  })

  it('and that it has never reached, after a restore, makes it be asked for its store', async () => {
    const { clock, api, label } = start()
    await clock.advance(0)
    api.nextLists.push(refused(504))
    api.pods = [podObject({ labels: { app: 'restored' } })]
    api.version = '5'
    api.watch.event('ERROR', gone)
    await clock.advance('1s')
    expect(api.lists.at(-1)?.get('resourceVersion')).toBeNull()
    expect(label()).toBe('restored')
    expect(api.watch.query.get('resourceVersion')).toBe('5')
  })
})

describe('an API that is away', () => {
  it('withdraws nothing, and is asked again with waits that grow', async () => {
    const { clock, api, label, sinks, pods } = start()
    await clock.advance(0)
    api.nextWatches.push(...Array.from({ length: 6 }, unreachable))
    api.watch.break()
    await clock.advance('500ms')
    expect(pods.ageMs).toBeGreaterThan(0)
    const before = api.requests.length
    await clock.advance('15s')
    // 0.75, 1.5, 3, 6 s: three quarters of what doubles.
    expect(api.requests.length - before).toBe(4)
    expect(label()).toBe('web')
    expect(sinks.events('warn')).toEqual(['Pods of this node cannot be listed'])
    await clock.advance('60s')
    expect(pods.ageMs).toBe(0)
    expect(sinks.events('info')).toContain('Pods of this node can be listed again')
    expect(api.watch.query.get('resourceVersion')).toBe('100')
    expect(
      sinks.total('icp_agent_kubernetes_requests_total', { endpoint: 'watch', outcome: 'platform.unavailable' }),
    ).toBe(6)
  })

  it('is left alone for as long as it asks', async () => {
    const { clock, api } = start((api) => {
      api.nextLists.push(refused(429, 20_000))
    })
    await clock.advance('19s')
    expect(api.lists).toHaveLength(1)
    await clock.advance('2s')
    expect(api.lists).toHaveLength(2)
  })

  it('and fails inside of a watch makes the pods be listed anew', async () => {
    const { clock, api } = start()
    await clock.advance(0)
    api.watch.event('ERROR', { kind: 'Status', code: 500, message: 'etcd event received with PrevKv=nil' })
    await clock.advance('2s')
    expect([api.lists.length, api.watches.length]).toEqual([2, 2])
  })

  it('and sends what is no event is asked anew', async () => {
    const { clock, api } = start()
    await clock.advance(0)
    api.watch.text('<html>\n')
    await clock.advance('2s')
    expect(api.watches).toHaveLength(2)
  })

  it('and says nothing at all for long has its connection replaced', async () => {
    const { clock, api, sinks } = start()
    await clock.advance(0)
    await clock.advance('100s')
    api.watch.bookmark('150')
    await clock.advance('100s')
    expect(api.watches).toHaveLength(1)
    await clock.advance('60s')
    expect(api.watches).toHaveLength(2)
    expect(api.watches[0]?.ended).toBe(true)
    expect(api.watch.query.get('resourceVersion')).toBe('150')
    expect(sinks.events('warn')).toEqual([])
  })

  it('and ends every watch at once is not asked in a loop', async () => {
    const { clock, api } = start()
    for (let i = 0; i < 50; i++) {
      api.watches.at(-1)?.close()
      await clock.advance('100ms')
    }
    expect(api.watches.length).toBeLessThan(12)
  })

  it('and hangs over a list is given up after a minute', async () => {
    const { clock, api, sinks } = start((api) => {
      api.hangs = true
    })
    await clock.advance('59s')
    expect(sinks.events('warn')).toEqual([])
    api.hangs = false
    await clock.advance('3s')
    expect(sinks.events('warn')).toEqual(['Pods of this node cannot be listed'])
    expect(api.watches).toHaveLength(1)
  })
})

describe('an empty list', () => {
  it('that would withdraw everything is asked for once more, from the store', async () => {
    const { clock, api, label } = start()
    await clock.advance(0)
    api.nextLists.push({ kind: 'PodList', metadata: { resourceVersion: '120' }, items: [] })
    api.watch.event('ERROR', { kind: 'Status', code: 410 })
    await clock.advance('1s')
    expect(label()).toBe('web')
    expect(api.lists.at(-1)?.get('resourceVersionMatch')).toBeNull()
  })

  it('is no reason to say that a pod is absent: the agent looks at the wrong node, and says so', async () => {
    const { clock, label, sinks } = start((api) => {
      api.pods = []
    })
    await clock.advance('60s')
    expect(label()).toBe('unknown')
    expect(sinks.events('warn')).toEqual([
      'Kubernetes lists no pods on this node; check attestation.kubernetes.node_name',
    ])
  })
})

describe('a right to watch that is missing', () => {
  const listens = (pods: Pods) => pods.watch(placeOf().podUid, () => {})
  const forbidden = (api: ScriptedApi) => {
    api.nextWatches.push(...Array.from({ length: 20 }, () => refused(403)))
  }

  it('makes the list be polled every 5 s while somebody listens, and is said once', async () => {
    const { clock, api, sinks, pods, label } = start(forbidden)
    using _listener = listens(pods)
    await clock.advance('1m')
    const before = api.lists.length
    await clock.advance('30s')
    expect(api.lists.length - before).toBe(6)
    api.pods = [podObject({ labels: { app: 'changed' } })]
    await clock.advance('6s')
    expect(label()).toBe('changed')
    expect(sinks.events('warn')).toEqual(['Kubernetes forbids watching pods; the list is polled'])
  })

  it('costs next to nothing while nobody listens', async () => {
    const { clock, api } = start(forbidden)
    await clock.advance('5m')
    expect(api.requests.length).toBeLessThan(10)
  })

  it('makes those who wait cause a list at once, but no more than one a second', async () => {
    const { clock, api, source, pods } = start(forbidden)
    using _listener = listens(pods)
    await clock.advance('1m')
    const before = api.lists.length
    for (let i = 0; i < 40; i++) {
      source.want()
      await clock.advance('100ms')
    }
    expect(api.lists.length - before).toBeGreaterThanOrEqual(4)
    expect(api.lists.length - before).toBeLessThanOrEqual(5)
  })

  it('gives nobody what is older than two intervals', async () => {
    const { clock, api, source, label } = start(forbidden)
    await clock.advance('2m')
    api.pods = [podObject({ labels: { app: 'changed' } })]
    const current = source.current(new AbortController().signal).then(() => label())
    await clock.advance('1s')
    expect(await current).toBe('changed')
  })

  it('is tried again after five seconds, half a minute, and every ten minutes', async () => {
    const { clock, api } = start(forbidden)
    const tries = () => api.requests.length - api.lists.length
    const counts: number[] = []
    for (const step of ['4s', '2s', '28s', '4s', '9m', '2m', '10m']) {
      await clock.advance(step)
      counts.push(tries())
    }
    expect(counts).toEqual([1, 2, 2, 3, 3, 4, 5])
  })

  it('for a moment only, as from a server that has just started, is not worth a warning', async () => {
    const { clock, api, sinks } = start((api) => api.nextWatches.push(refused(403)))
    await clock.advance('6s')
    expect(api.watches).toHaveLength(1)
    expect(sinks.events('warn')).toEqual([])
  })

  it('and comes back is said', async () => {
    const { clock, sinks } = start((api) => api.nextWatches.push(refused(403), refused(403)))
    await clock.advance('1m')
    expect(sinks.events('info')).toContain('Kubernetes allows watching pods again')
  })
})

describe('somebody who waits while a watch is open', () => {
  it('makes the pods be listed anew after a second, at most every ten', async () => {
    const { clock, api, source, pods } = start()
    await clock.advance('30s')
    for (let i = 0; i < 40; i++) {
      void pods.next('nobody', 600, new AbortController().signal)
      source.want()
      await clock.advance('500ms')
    }
    expect(api.lists).toHaveLength(3)
    expect(api.watches[0]?.ended).toBe(true)
    await clock.advance('1s')
  })

  it('and has gone in between causes nothing', async () => {
    const { clock, api, source } = start()
    await clock.advance('30s')
    source.want()
    await clock.advance('30s')
    expect(api.lists).toHaveLength(1)
  })
})

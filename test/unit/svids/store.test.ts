import { describe, expect, it } from 'vitest'
import type { SnapshotChange } from '../../../agent/svids/snapshot.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { bundlesOf } from '../../fakes/identities.js'

const entries = (...ids: string[]): SnapshotChange => ({ entries: new Set(ids), bundles: false })
const ALL: SnapshotChange = { entries: 'all', bundles: false }
const BUNDLES: SnapshotChange = { entries: new Set(), bundles: true }

function watcher(store: SvidStore, name: string, woken: string[], ...ids: string[]) {
  const watch = store.watch(() => woken.push(name))
  watch.entries(ids)
  return watch
}

describe('SvidStore', () => {
  it('begins unsynced and empty', () => {
    const { current } = new SvidStore()
    expect(current.synced).toBe(false)
    expect([current.entries.size, current.states.size, current.bundles.size, current.index.size]).toEqual([0, 0, 0, 0])
  })

  it('replaces the parts that are published and leaves the others as they are', () => {
    const store = new SvidStore()
    const before = store.current
    const bundles = bundlesOf('example.org')
    store.publish({ bundles }, BUNDLES)
    expect(store.current.bundles).toBe(bundles)
    expect(store.current.states).toBe(before.states)
    expect(before.bundles.size).toBe(0)
  })

  it('wakes only those who watch an entry that changed, each once', () => {
    const store = new SvidStore()
    const woken: string[] = []
    watcher(store, 'ab', woken, 'a', 'b')
    watcher(store, 'b', woken, 'b')
    watcher(store, 'none', woken)
    store.publish({}, entries('a'))
    expect(woken.splice(0)).toEqual(['ab'])
    store.publish({}, entries('a', 'b'))
    expect(woken.splice(0)).toEqual(['ab', 'b'])
    store.publish({}, entries('c'))
    store.publish({}, entries())
    expect(woken).toEqual([])
  })

  it('wakes everybody when bundles or the set of entries change', () => {
    const store = new SvidStore()
    const woken: string[] = []
    watcher(store, 'a', woken, 'a')
    watcher(store, 'none', woken)
    store.publish({}, BUNDLES)
    store.publish({}, ALL)
    expect(woken).toEqual(['a', 'none', 'a', 'none'])
  })

  it('shows watchers the snapshot that they are woken for', () => {
    const store = new SvidStore()
    const seen: boolean[] = []
    store.watch(() => seen.push(store.current.synced))
    store.publish({ synced: true }, ALL)
    expect(seen).toEqual([true])
  })

  it('follows a watcher to other entries', () => {
    const store = new SvidStore()
    const woken: string[] = []
    const watch = watcher(store, 'w', woken, 'a')
    watch.entries(['b'])
    store.publish({}, entries('a'))
    expect(woken).toEqual([])
    store.publish({}, entries('b'))
    expect(woken).toEqual(['w'])
  })

  it('wakes nobody who has left, even where he speaks up again', () => {
    const store = new SvidStore()
    const woken: string[] = []
    const watch = watcher(store, 'w', woken, 'a')
    watch[Symbol.dispose]()
    watch.entries(['a'])
    store.publish({}, entries('a'))
    store.publish({}, ALL)
    expect(woken).toEqual([])
  })

  it('lets a watcher leave, and another come, while it tells', () => {
    const store = new SvidStore()
    const woken: string[] = []
    const first = store.watch(() => {
      woken.push('first')
      first[Symbol.dispose]()
      watcher(store, 'late', woken, 'a')
    })
    first.entries(['a'])
    watcher(store, 'second', woken, 'a')
    store.publish({}, entries('a'))
    expect(woken.splice(0)).toEqual(['first', 'second'])
    store.publish({}, entries('a'))
    expect(woken).toEqual(['second', 'late'])
  })

  it('keeps two watches apart that share a function', () => {
    const store = new SvidStore()
    let woken = 0
    const count = () => woken++
    const [one, two] = [store.watch(count), store.watch(count)]
    one.entries(['a'])
    two.entries(['a'])
    one[Symbol.dispose]()
    store.publish({}, entries('a'))
    expect(woken).toBe(1)
  })

  it('does not wake one whom another has just sent away', () => {
    const store = new SvidStore()
    const woken: string[] = []
    store.watch(() => second[Symbol.dispose]())
    const second = watcher(store, 'second', woken)
    store.publish({}, ALL)
    expect(woken).toEqual([])
  })

  it('wakes all others where one throws, and then says so', () => {
    const store = new SvidStore()
    const woken: string[] = []
    store.watch(() => {
      throw new TypeError('a defect')
    })
    watcher(store, 'other', woken)
    const observed: SnapshotChange[] = []
    store.observe((change) => observed.push(change))
    expect(() => store.publish({ synced: true }, ALL)).toThrow('a defect')
    expect(woken).toEqual(['other'])
    expect(observed).toEqual([ALL])
    expect(store.current.synced).toBe(true)
  })

  it('tells observers of every publication', () => {
    const store = new SvidStore()
    const seen: SnapshotChange[] = []
    const observing = store.observe((change) => seen.push(change))
    for (const change of [entries('a'), entries(), BUNDLES]) store.publish({}, change)
    observing[Symbol.dispose]()
    store.publish({}, ALL)
    expect(seen).toEqual([entries('a'), entries(), BUNDLES])
  })
})

import { beforeEach, expect, test } from 'vitest'
import { EntryChanges } from '../../../agent/svids/entry-changes.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { FakeClock } from '../../fakes/clock.js'
import { entryOf, issuedOf, snapshotOf } from '../../fakes/identities.js'

let clock: FakeClock
let store: SvidStore
let changes: EntryChanges
beforeEach(() => {
  clock = new FakeClock()
  store = new SvidStore()
  changes = new EntryChanges(store, clock)
})

function synced(ids: readonly string[], states: Readonly<Record<string, EntryState>> = {}): void {
  store.publish(
    snapshotOf(
      ids.map((id) => entryOf(id)),
      states,
    ),
    { entries: 'all', bundles: false },
  )
}

function changed(id: string, state: EntryState): void {
  store.publish({ states: new Map([...store.current.states, [id, state]]) }, { entries: new Set([id]), bundles: false })
}

test('an entry changes when it is first read, and at each new state, whatever happens to others', async () => {
  expect(changes.changedAt('a')).toBeNull()
  synced(['a', 'b'])
  const first = clock.now()
  await clock.advance('1m')
  changed('a', issuedOf('a'))
  expect([changes.changedAt('a'), changes.changedAt('b')]).toEqual([first + 60_000, first])
})

test('another set of entries is no change of those that stay as they are', async () => {
  const state = issuedOf('a')
  synced(['a'], { a: state })
  const first = clock.now()
  await clock.advance('1m')
  synced(['a', 'c'], { a: state })
  expect([changes.changedAt('a'), changes.changedAt('c')]).toEqual([first, first + 60_000])
})

test('an entry that is gone is forgotten, and nothing is heard after the end', async () => {
  synced(['a', 'b'])
  synced(['b'])
  expect(changes.changedAt('a')).toBeNull()
  changes[Symbol.dispose]()
  await clock.advance('1m')
  changed('b', issuedOf('b'))
  expect(changes.changedAt('b')).toBe(clock.now() - 60_000)
})

import { describe, expect, test } from 'vitest'
import { ChangeLog } from '../../../agent/admin/changes.js'
import { SvidStore } from '../../../agent/svids/store.js'
import { FakeClock } from '../../fakes/clock.js'
import { authorityOf, entriesOf, entryOf, issuedOf, snapshotOf, svidOf } from '../../fakes/identities.js'

function setUp() {
  const clock = new FakeClock()
  const changes = new ChangeLog(clock)
  const store = new SvidStore()
  changes.follow(store)
  const texts = () => changes.all.map(({ kind, text }) => `${kind} ${text}`)
  return { clock, changes, store, texts }
}
const ALL = { entries: 'all', bundles: false } as const
const some = (...ids: string[]) => ({ entries: new Set(ids), bundles: false })

describe('the log of changes', () => {
  test('tells entries that come, change and go', () => {
    const { store, texts } = setUp()
    const [a, b] = [entryOf('a'), entryOf('b')]
    store.publish({ entries: entriesOf(a, b) }, ALL)
    store.publish({ entries: entriesOf(a, entryOf('b', { selectors: { 'unix:uid': '2' } })) }, ALL)
    store.publish({ entries: entriesOf(a) }, ALL)
    expect(texts()).toEqual([
      'entries spiffe://example.org/a: added',
      'entries spiffe://example.org/b: added',
      'entries spiffe://example.org/b: changed',
      'entries spiffe://example.org/b: removed',
    ])
  })

  test('tells SVIDs that are issued, rotated, refused and expire, and nothing of a renewal that is only put off', () => {
    const { store, texts } = setUp()
    store.publish(snapshotOf([entryOf('a')]), ALL)
    const first = issuedOf('a', { notAfter: 60_000 })
    const states = [
      first,
      { ...first, failures: { count: 1, retryAt: 5, code: 'icp.timeout' as const } },
      issuedOf('a', { notAfter: 120_000 }),
      { kind: 'wanted' as const, expired: true as const },
      {
        kind: 'wanted' as const,
        expired: true as const,
        failures: { count: 1, retryAt: 5, code: 'icp.timeout' as const },
      },
      {
        kind: 'refused' as const,
        code: 'icp.forbidden' as const,
        message: 'no',
        until: 9,
        failures: { count: 1, retryAt: 5, code: 'icp.forbidden' as const },
      },
    ]
    for (const state of states) store.publish({ states: new Map([['a', state]]) }, some('a'))
    expect(texts().slice(1)).toEqual([
      'svid spiffe://example.org/a: SVID issued, valid until 1970-01-01T00:01:00Z',
      'svid spiffe://example.org/a: SVID rotated, valid until 1970-01-01T00:02:00Z',
      'svid spiffe://example.org/a: SVID expired',
      'svid spiffe://example.org/a: SVID refused (icp.forbidden)',
    ])
  })

  test('tells a publication that changes much in one line', () => {
    const { store, texts } = setUp()
    const entries = Array.from({ length: 2_000 }, (_, i) => entryOf(`e${i}`))
    store.publish({ entries: entriesOf(...entries) }, ALL)
    const states = new Map(entries.map(({ id }) => [id, issuedOf(id)]))
    store.publish({ states }, { entries: new Set(states.keys()), bundles: false })
    expect(texts()).toEqual(['entries 2000 entries added', 'svid 2000 entries: 2000 SVID issued'])
  })

  test('tells which authorities come and go', () => {
    const { store, texts } = setUp()
    const [one, other] = [authorityOf('one'), authorityOf('other')]
    const of = (...authorities: (typeof one)[]) => new Map([['d', { trustDomain: 'd', authorities }]])
    const publish = (bundles: ReturnType<typeof of>) =>
      store.publish({ bundles }, { entries: new Set(), bundles: true })
    publish(of(one))
    publish(of(one, other))
    publish(of(other))
    publish(new Map())
    expect(texts()).toEqual([
      'bundle authorities of d: 1 added',
      'bundle authorities of d: 1 added',
      'bundle authorities of d: 1 removed',
      'bundle the bundle of d is no longer served',
    ])
  })

  test('keeps 30 of a kind and 100 in all, so that rotations do not push out what is rare', () => {
    const { changes } = setUp()
    changes.add('config', 'the rare one')
    for (let i = 0; i < 1_000; i++) changes.add('svid', `rotation ${i}`)
    expect(changes.all).toHaveLength(31)
    expect(changes.all[0]?.text).toBe('the rare one')
    expect(changes.all.at(-1)?.text).toBe('rotation 999')
    for (const kind of ['entries', 'bundle', 'node', 'health'] as const) {
      for (let i = 0; i < 100; i++) changes.add(kind, `${i}`)
    }
    expect(changes.all.length).toBeLessThanOrEqual(100)
  })

  test("tells of the agent's own SVID", () => {
    const { changes, texts } = setUp()
    changes.observer.nodeAttested?.(svidOf('agent', { notAfter: 1_000 }), 'renewed')
    expect(texts()).toEqual(["node the agent's SVID was renewed, valid until 1970-01-01T00:00:01Z"])
  })
})

import { beforeEach, describe, expect, test } from 'vitest'
import { parseAuthority } from '../../../agent/identity/authority.js'
import { AuthorityHistory } from '../../../agent/svids/authority-history.js'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { renewEarly } from '../../../agent/svids/state-changes.js'
import { TestCa } from '../../fakes/ca.js'
import { CacheWorld } from './sealed-cache/cache-world.js'

const HOUR = 3_600_000
let world: CacheWorld
let next: TestCa
let newest: string
beforeEach(async () => {
  world = await CacheWorld.create()
  next = await TestCa.create('next', { notBefore: 0, notAfter: Date.UTC(2040, 0) })
  newest = parseAuthority(next.der).fingerprint
})

test('the newest authority is the one that was seen last, whichever was named again since', async () => {
  expect(AuthorityHistory.empty('account').newest).toBeNull()
  await world.clock.advance('1m')
  const old = parseAuthority(world.ca.der)
  const history = world.history
    .named([parseAuthority(next.der)], world.clock.now())
    .named([old], world.clock.now() + HOUR)
  expect(history.newest).toBe(newest)
})

describe('when another authority issues', () => {
  const renewals = (changes: ReadonlyMap<string, EntryState>) =>
    [...changes].map(([id, state]) => {
      if (state.kind !== 'issued') throw new TypeError('not issued')
      return [id, (state.next ?? state).held.renewAt - world.clock.now()]
    })

  test('SVIDs of the old one are renewed at once, soonest expiry first, fifteen a minute', async () => {
    const states = new Map<string, EntryState>()
    for (const [id, life] of [
      ['a', 5],
      ['b', 3],
      ['c', 4],
    ] as const)
      states.set(id, await world.issued(id, life * HOUR))
    expect(renewals(renewEarly(states, newest, world.clock.now()))).toEqual([
      ['b', 0],
      ['c', 4_000],
      ['a', 8_000],
    ])
  })

  test('those of the new one stay as they are, and none is renewed later than it would be', async () => {
    const states = new Map<string, EntryState>([
      ['new', { kind: 'issued', held: await world.held('new', HOUR, next) }],
      ['wanted', { kind: 'wanted' }],
      ['due', { kind: 'issued', held: { ...(await world.held('due')), renewAt: 0 } }],
    ])
    expect(renewEarly(states, newest, world.clock.now()).size).toBe(0)
  })

  test('one that already waits with its successor of the new one is left alone', async () => {
    const held = await world.held('web')
    const successor = await world.held('web', HOUR, next)
    const state: EntryState = { kind: 'issued', held, next: { held: successor, from: world.clock.now() + 1 } }
    expect(renewEarly(new Map([['web', state]]), newest, world.clock.now()).size).toBe(0)
  })
})

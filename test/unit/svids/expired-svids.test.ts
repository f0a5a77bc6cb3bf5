import { beforeEach, describe, expect, test } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { ExpiredSvids } from '../../../agent/svids/passing-time.js'
import { tick } from '../../../agent/svids/state-changes.js'
import { CacheWorld, entryOf } from './sealed-cache/cache-world.js'

let world: CacheWorld
let expired: ExpiredSvids
let states: Map<string, EntryState>
const entries = new Map([['web', entryOf('web')]])
beforeEach(async () => {
  world = await CacheWorld.create()
  expired = new ExpiredSvids(world.clock)
  states = new Map([['web', await world.issued('web')]])
  expired.see(states)
})

/** What time does now, as the tick of sync does it; the ids that came back. */
function passes(): string[] {
  const back = expired.back({ entries, states }, world.history)
  for (const [id, state] of back) states.set(id, state)
  const { changed } = tick(states, world.clock.now())
  expired.out(states, changed)
  for (const [id, state] of changed) states.set(id, state)
  return [...back.keys()]
}

describe('a clock that jumps ahead past the end of an SVID', () => {
  beforeEach(async () => {
    await world.clock.jump('1d')
    passes()
    expect(states.get('web')?.kind).toBe('wanted')
  })

  test('and is set right brings it back', async () => {
    await world.clock.advance('1m')
    await world.clock.jump('-1d')
    expect(passes()).toEqual(['web'])
    expect(states.get('web')?.kind).toBe('issued')
  })

  test('and stays there brings nothing back', async () => {
    await world.clock.advance('30m')
    expect(passes()).toEqual([])
  })

  test('and is set right after the life is over brings nothing back', async () => {
    await world.clock.advance('61m')
    await world.clock.jump('-1d')
    await world.clock.jump('-2h')
    expect(passes()).toEqual([])
  })

  test('brings nothing back for an entry that has got another, or names another identity', async () => {
    const other = new Map([['web', { ...entryOf('db'), id: 'web' }]])
    await world.clock.jump('-1d')
    expect(expired.back({ entries: other, states }, world.history).size).toBe(0)
    expect(passes()).toEqual([])
  })
})

test('an SVID that has lived its life does not come back, however far the clock is set back', async () => {
  await world.clock.advance('2h')
  passes()
  await world.clock.jump('-2h')
  expect(passes()).toEqual([])
  expect(states.get('web')?.kind).toBe('wanted')
})

import { expect, test } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { isGone, probeEntry, WithdrawalDoubt } from '../../../agent/svids/withdrawal.js'
import { FakeClock } from '../../fakes/clock.js'
import { CacheWorld, entryOf } from './sealed-cache/cache-world.js'

test('a list without known entries is read again, then asked about, then at most once a minute', async () => {
  const clock = new FakeClock()
  const doubt = new WithdrawalDoubt(clock)
  expect([doubt.next(), doubt.next(), doubt.next()]).toEqual(['read-again', 'ask', 'hold'])
  await clock.advance('59s')
  expect(doubt.next()).toBe('hold')
  await clock.advance('1s')
  expect(doubt.next()).toBe('ask')
  doubt.settled()
  expect(doubt.next()).toBe('read-again')
})

test('an entry that is served tells more than one that is not; one without selectors tells nothing', async () => {
  const world = await CacheWorld.create()
  const entries = new Map([
    ['none', { ...entryOf('none'), selectors: new Map() }],
    ['idle', entryOf('idle')],
    ['served', entryOf('served')],
  ])
  expect(probeEntry(entries, new Map([['served', await world.issued('served')]]))?.id).toBe('served')
  expect(probeEntry(entries, new Map())?.id).toBe('idle')
  expect(probeEntry(new Map([...entries].slice(0, 1)), new Map())).toBeNull()
})

test('only the server saying that it knows no such entry means that it is gone', () => {
  const failed = (
    code: 'icp.no_match' | 'icp.server_error' | 'icp.forbidden' | 'icp.not_found' | 'entry.shadowed',
  ): EntryState => ({
    kind: 'wanted',
    failures: { count: 1, retryAt: 0, code },
  })
  expect(isGone(failed('icp.no_match'))).toBe(true)
  expect(isGone(failed('entry.shadowed'))).toBe(true)
  expect(isGone(failed('icp.server_error'))).toBe(false)
  expect(isGone(failed('icp.forbidden'))).toBe(false)
  expect(isGone(failed('icp.not_found'))).toBe(false)
  expect(isGone({ kind: 'wanted' })).toBe(false)
  expect(isGone(undefined)).toBe(false)
})

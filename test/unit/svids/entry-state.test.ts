import { describe, expect, it } from 'vitest'
import type { ErrorCode } from '../../../agent/errors.js'
import { type EntryState, failureCount, type RenewableSvid, transition } from '../../../agent/svids/entry-state.js'
import { changesBy, tick } from '../../../agent/svids/state-changes.js'
import { heldOf, issuedOf } from '../../fakes/identities.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const NOW = Date.parse('2026-01-01T00:00:00Z')

const life = (left: number) => ({ notBefore: NOW + left - HOUR, notAfter: NOW + left })
const old = issuedOf('old', life(30 * MINUTE))
const young = heldOf('young', life(HOUR))
const failures = { count: 2, retryAt: NOW + 9, code: 'icp.timeout' as const }
const whenFailed = (state: EntryState | undefined, code: ErrorCode, outlived = false): EntryState =>
  transition(state, { kind: 'failed', code, message: 'why', outlived, waiting: false, baseMs: 5, fraction: 1 }, NOW)
const issued = (state: EntryState | undefined, held: RenewableSvid, now: number, servableFrom: number): EntryState =>
  transition(state, { kind: 'issued', held, servableFrom }, now)

describe('an SVID that arrives', () => {
  it('is served at once, whatever was there before', () => {
    for (const state of [
      undefined,
      { kind: 'wanted', failures } as const,
      old,
      whenFailed(undefined, 'icp.no_match'),
    ]) {
      expect(issued(state, young, NOW, 0)).toEqual({ kind: 'issued', held: young })
    }
  })

  it('ends failures', () => {
    expect(issued({ ...old, failures }, young, NOW, 0)).toEqual({ kind: 'issued', held: young })
  })

  it('of a new authority is held back while the old one lives', () => {
    expect(issued(old, young, NOW, NOW + 10 * MINUTE)).toEqual({
      kind: 'issued',
      held: old.held,
      next: { held: young, from: NOW + 10 * MINUTE },
    })
  })

  it('of a new authority is held back to the last tenth of the old one’s life at most', () => {
    expect(issued(old, young, NOW, NOW + 2 * HOUR)).toMatchObject({ next: { from: NOW + 24 * MINUTE } })
    const ending = issuedOf('old', life(5 * MINUTE))
    expect(issued(ending, young, NOW, NOW + 2 * HOUR)).toEqual({ kind: 'issued', held: young })
  })

  it('of a new authority is served at once where there is none that lives', () => {
    for (const state of [undefined, { kind: 'wanted' } as const, issuedOf('old', life(0))]) {
      expect(issued(state, young, NOW, NOW + 10 * MINUTE)).toEqual({ kind: 'issued', held: young })
    }
  })

  it('takes the place of one that is still held back', () => {
    const waiting = issued(old, young, NOW, NOW + 10 * MINUTE)
    const newest = heldOf('newest', life(HOUR))
    expect(issued(waiting, newest, NOW + MINUTE, NOW + 10 * MINUTE)).toMatchObject({
      held: old.held,
      next: { held: newest },
    })
  })
})

describe('an issuance that fails', () => {
  it('leaves what is served as it is, and counts', () => {
    for (const [code, waitMs] of [
      ['icp.no_match', 30_000],
      ['icp.server_error', 20],
      ['svid.invalid', 20],
    ] as const) {
      expect(whenFailed({ ...old, failures }, code, true)).toEqual({
        ...old,
        failures: { count: 3, own: 1, retryAt: NOW + waitMs, code },
      })
    }
  })

  it('by a refusal of the entry itself makes it hopeless at once', () => {
    for (const code of [
      'icp.no_match',
      'icp.bad_request',
      'icp.forbidden',
      'entry.shadowed',
      'entry.trust_domain',
    ] as const) {
      expect(whenFailed(undefined, code)).toEqual({
        kind: 'refused',
        code,
        message: 'why',
        until: NOW + 30_000,
        failures: { count: 1, own: 1, retryAt: NOW + 30_000, code },
      })
    }
  })

  it('otherwise makes it hopeless at the third time, where others are issued meanwhile', () => {
    const twice = whenFailed(whenFailed(undefined, 'icp.server_error', true), 'svid.invalid', true)
    expect(twice).toMatchObject({ kind: 'wanted', failures: { count: 2 } })
    expect(whenFailed(twice, 'icp.server_error', true)).toMatchObject({ kind: 'refused', failures: { count: 3 } })
  })

  it('never makes it hopeless where nobody is issued anything: the server fails, not the entry', () => {
    let state: EntryState | undefined
    for (let i = 0; i < 20; i++) state = whenFailed(state, 'icp.server_error')
    expect(state).toMatchObject({ kind: 'wanted', failures: { count: 20 } })
  })

  it('never makes it hopeless where the server does not know the account: that says nothing of the entry', () => {
    let state: EntryState | undefined
    for (let i = 0; i < 20; i++) state = whenFailed(state, 'icp.not_found')
    expect(state).toMatchObject({ kind: 'wanted', failures: { count: 20 } })
  })

  it('never makes it hopeless where the server did not answer', () => {
    let state: EntryState | undefined
    for (let i = 0; i < 20; i++) state = whenFailed(state, 'icp.timeout', true)
    expect(state).toMatchObject({ kind: 'wanted', failures: { count: 20 } })
  })

  it('of the server says nothing new of an entry that is refused: nobody waits for it again', () => {
    let state = whenFailed(undefined, 'icp.no_match')
    for (const code of ['icp.timeout', 'icp.server_error', 'icp.unreachable'] as const) {
      state = whenFailed(state, code)
      expect(state).toMatchObject({ kind: 'refused', code: 'icp.no_match', failures: { own: 1, code } })
    }
    expect(issued(state, young, NOW, 0)).toEqual({ kind: 'issued', held: young })
  })

  it('of an expired SVID is still that of an expired SVID', () => {
    expect(whenFailed({ kind: 'wanted', expired: true }, 'icp.timeout')).toMatchObject({
      kind: 'wanted',
      expired: true,
    })
  })

  it('counts from nothing where there was no state, or another one always won', () => {
    expect([undefined, { kind: 'shadowed', by: 'b' } as const, old].map(failureCount)).toEqual([0, 0, 0])
    expect(failureCount({ kind: 'wanted', failures })).toBe(2)
  })
})

describe('time', () => {
  const at = (states: Record<string, EntryState>, now = NOW) => {
    const { changed, nextAt } = tick(new Map(Object.entries(states)), now)
    return { changed: Object.fromEntries(changed), nextAt }
  }
  const waiting = { ...old, next: { held: young, from: NOW + 10 * MINUTE } }

  it('changes nothing before its time, and says when that is', () => {
    expect(at({ old, none: { kind: 'wanted' } })).toEqual({ changed: {}, nextAt: NOW + 30 * MINUTE })
    expect(at({ waiting })).toEqual({ changed: {}, nextAt: NOW + 10 * MINUTE })
    expect(at({})).toEqual({ changed: {}, nextAt: Number.POSITIVE_INFINITY })
  })

  it('takes an expired SVID out of service at that very moment, and keeps its failures', () => {
    const moment = NOW + 30 * MINUTE
    expect(at({ old }, moment - 1).changed).toEqual({})
    expect(at({ old: { ...old, failures } }, moment)).toEqual({
      changed: { old: { kind: 'wanted', expired: true, failures } },
      nextAt: Number.POSITIVE_INFINITY,
    })
  })

  it('refuses at that very moment what the server has refused to renew, and nobody waits for it', () => {
    const denied = { count: 2, own: 2, retryAt: NOW + HOUR, code: 'icp.no_match' as const }
    expect(at({ old: { ...old, failures: denied } }, NOW + 30 * MINUTE).changed).toMatchObject({
      old: { kind: 'refused', code: 'icp.no_match', until: NOW + HOUR, failures: denied },
    })
  })

  it('lets the entry that the server issues instead take its place at that very moment', () => {
    const shadow = { by: 'young', told: true } as const
    expect(at({ old: { ...old, shadow } }, NOW + 30 * MINUTE).changed).toEqual({ old: { kind: 'shadowed', ...shadow } })
    expect(at({ waiting: { ...waiting, shadow } }, NOW + 10 * MINUTE).changed).toMatchObject({ waiting: { shadow } })
  })

  it('brings a held-back SVID into service when its time has come', () => {
    expect(at({ waiting }, NOW + 10 * MINUTE)).toEqual({
      changed: { waiting: { kind: 'issued', held: young } },
      nextAt: NOW + HOUR,
    })
  })

  it('brings it into service early where the old one has ended', () => {
    const early = { ...old, next: { held: young, from: NOW + 50 * MINUTE } }
    expect(at({ early }, NOW + 30 * MINUTE).changed).toEqual({ early: { kind: 'issued', held: young } })
  })

  it('takes both away where both have ended: the agent slept', () => {
    expect(at({ waiting }, NOW + 2 * HOUR).changed).toEqual({ waiting: { kind: 'wanted', expired: true } })
  })
})

describe('a refusal of the agent as a whole', () => {
  it.each(['icp.unauthorized', 'icp.agent_inactive'] as const)(
    '(%s) makes no entry hopeless, however often',
    (code) => {
      let state: EntryState | undefined
      for (let n = 0; n < 10; n++) state = whenFailed(state, code, true)
      expect(state).toMatchObject({ kind: 'wanted', failures: { count: 10, code } })
    },
  )

  it.each(['icp.unauthorized', 'icp.agent_inactive'] as const)('(%s) is tried again as soon as it is over', (code) => {
    const states = new Map([['web', whenFailed(undefined, code)]])
    expect(changesBy(states, { kind: 'server-answers' }, NOW).get('web')).toMatchObject({ failures: { retryAt: 0 } })
  })
})

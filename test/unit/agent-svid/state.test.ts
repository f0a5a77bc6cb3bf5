import { describe, expect, test } from 'vitest'
import type { AgentSvid } from '../../../agent/agent-svid/agent-svid.js'
import { clockWait, turnsAt } from '../../../agent/agent-svid/state.js'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const BEGIN = Date.UTC(2026, 0, 1)
const END = BEGIN + 60 * MINUTE
/** Only its life matters here. */
const svid = { notBefore: BEGIN, notAfter: END } as AgentSvid

describe('the clock alone keeps a certificate from being valid', () => {
  test.each<[what: string, now: number, skewMs: number | null, until: number | null]>([
    ['never while it is valid', BEGIN, 0, null],
    ['nor within the minute by which clocks may differ', BEGIN - MINUTE, null, null],
    ['until it begins, less that minute', BEGIN - 5 * MINUTE, null, BEGIN - MINUTE],
    ['no longer than a minute at a time where the server is far behind', END + MINUTE, -30 * MINUTE, END + 2 * MINUTE],
    [
      "until it ends by the server's clock, where that is sooner",
      END + MINUTE,
      -MINUTE - 20 * SECOND,
      END + 80 * SECOND,
    ],
    ["not where it has ended by the server's clock, too", END + MINUTE, -MINUTE, null],
    ["not where the server's clock is not known", END + MINUTE, null, null],
  ])('%s', (_what, now, skewMs, until) => {
    expect(clockWait(svid, now, skewMs)).toBe(until)
  })
})

describe('time alone', () => {
  test.each<[what: string, identity: AgentSvid | null, now: number, at: number]>([
    ['makes a certificate valid that has yet to begin', svid, BEGIN - 5 * MINUTE, BEGIN - MINUTE],
    ['ends one that is valid', svid, BEGIN, END],
    ['changes nothing of one that has ended', svid, END, Number.POSITIVE_INFINITY],
    ['changes nothing where there is none', null, BEGIN, Number.POSITIVE_INFINITY],
  ])('%s', (_what, identity, now, at) => {
    expect(turnsAt(identity, now)).toBe(at)
  })
})

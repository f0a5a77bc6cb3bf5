import { describe, expect, it, test } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { type DecisionInput, decide } from '../../../agent/workload-api/decision.js'
import { issuedOf } from '../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const HOLD = 4_000
const REFUSED = 'the ICP server answers but does not accept the certificate of the agent'

const failures = { count: 1, retryAt: NOW + 60_000, code: 'icp.unauthorized' } as const
const STATES: readonly [string, EntryState | undefined][] = [
  ['that has expired', { kind: 'wanted', expired: true, failures }],
  ['that expired this moment', issuedOf('x', { notBefore: NOW - 10, notAfter: NOW })],
  ['that could not be issued yet', { kind: 'wanted', failures }],
  ['that nobody has asked for yet', undefined],
]

function words(state: EntryState | undefined, withheld: string | null, given: Partial<DecisionInput> = {}): string {
  const found = decide({
    refusal: null,
    attesting: false,
    waitMs: 0,
    match: { ids: ['a'], truncated: false, uncertain: false },
    snapshot: { synced: true, states: new Map(state ? [['a', state]] : []), withheld },
    now: NOW,
    heldForMs: HOLD,
    holdMs: HOLD,
    served: null,
    stopping: false,
    ...given,
  })
  return found.kind === 'refuse' ? found.message : found.kind
}

describe('while the server does not accept the agent', () => {
  it.each(STATES)('who waits for an SVID %s is told so, and never that the server may be away', (_what, state) => {
    expect(words(state, REFUSED)).toContain(REFUSED)
    expect(words(state, REFUSED)).not.toContain('away')
  })

  it('who waits for entries is told so', () => {
    const snapshot = { synced: false, states: new Map(), withheld: REFUSED }
    expect(words(undefined, REFUSED, { snapshot })).toContain(REFUSED)
  })

  it('what is valid is served', () => {
    expect(words(issuedOf('x', { notBefore: NOW - 10, notAfter: NOW + 10 }), REFUSED)).toBe('send')
  })
})

test('the server may be away where nothing else is known', () => {
  expect(words(STATES[0]?.[1], null)).toContain('the ICP server may be away')
})

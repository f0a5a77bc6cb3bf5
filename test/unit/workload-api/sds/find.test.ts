import { expect, test } from 'vitest'
import { findSecrets } from '../../../../agent/workload-api/sds/find.js'
import { Secrets } from '../../../../agent/workload-api/sds/secrets.js'
import { entryOf, issuedOf, snapshotOf } from '../../../fakes/identities.js'

const NOW = Date.parse('2026-01-01T00:00:00Z')
const names = { svid: 'default', bundle: 'ROOTCA', allBundles: 'ALL' }
const heldGrants = { code: 'audit.unavailable', message: 'cannot be written' } as const

function kindOf(name: string, served: readonly string[] | undefined, held: boolean) {
  const entry = entryOf('a')
  const snapshot = snapshotOf([entry], { a: issuedOf('a', { notBefore: NOW - 1, notAfter: NOW + 60_000 }) })
  const input = {
    refusal: null,
    attesting: false,
    waitMs: 0,
    match: { ids: ['a'], truncated: false, uncertain: false },
    snapshot,
    now: NOW,
    heldForMs: 0,
    holdMs: 4_000,
    served: null,
    stopping: false,
    heldGrants: held ? heldGrants : null,
  }
  const asked = name === 'own' ? entry.spiffeId.uri : name
  const wanted = { all: false, names: new Set([asked]) }
  const options = { input, snapshot, names, secrets: new Secrets(), validation: 'spiffe', openToAll: false } as const
  return findSecrets(wanted, { ...options, served: () => served }).get(asked)?.kind
}

test.each(['own', 'default'])(
  'while nothing new is granted, a stream that has the secret %s goes on, a new one waits',
  (name) => {
    expect(kindOf(name, undefined, false)).toBe('found')
    expect(kindOf(name, undefined, true)).toBe('hold')
    expect(kindOf(name, ['a'], true)).toBe('found')
  },
)

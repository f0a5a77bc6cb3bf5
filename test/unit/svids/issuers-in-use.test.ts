import { expect, it } from 'vitest'
import type { EntryState } from '../../../agent/svids/entry-state.js'
import { issuersInUse } from '../../../agent/svids/state-changes.js'
import { authorityOf, heldOf, issuedOf } from '../../fakes/identities.js'

const [a, b] = [authorityOf('a'), authorityOf('b')]

it('issuers in use are those of SVIDs that are served or wait to be', () => {
  const next = { held: heldOf('x', { authority: b.fingerprint }), from: 1 }
  const states = new Map<string, EntryState>([
    ['x', { ...issuedOf('x', { authority: a.fingerprint }), next }],
    ['y', { kind: 'wanted' }],
  ])
  expect([...issuersInUse(states)]).toEqual([a.fingerprint, b.fingerprint])
})

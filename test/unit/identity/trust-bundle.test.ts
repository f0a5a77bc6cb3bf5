import { expect, it } from 'vitest'
import { sameAuthorities } from '../../../agent/identity/trust-bundle.js'
import { authorityOf } from '../../fakes/identities.js'

const [a, b] = [authorityOf('a'), authorityOf('b')]

it.each([
  ['none', [], [], true],
  ['the same, parsed twice', [a, b], [authorityOf('a'), authorityOf('b')], true],
  ['another order', [a, b], [b, a], false],
  ['one more', [a], [a, b], false],
  ['one less', [a, b], [a], false],
  ['another one', [a], [b], false],
])('compares authorities by fingerprint and order: %s', (_what, left, right, same) => {
  expect(sameAuthorities(left, right)).toBe(same)
})

import { describe, expect, test } from 'vitest'
import { chooseEntry } from '../../../dev/icp-server/matching.js'
import type { Generation } from '../../../dev/icp-server/options.js'
import type { EntryRecord } from '../../../dev/icp-server/state.js'

const ME = 'spiffe://account/agent/me'
const OTHER = 'spiffe://account/agent/other'
const SENT = { 'unix:uid': '1', 'unix:gid': '2', 'unix:path': '/bin/web' }

const entry = (id: string, selectors: Record<string, string>, parentId = ''): EntryRecord => ({
  id,
  spiffeId: `spiffe://account/${id}`,
  parentId,
  selectors,
  ttl: null,
  admin: false,
  downstream: false,
  createdAt: 0,
  updatedAt: 0,
})
/** The id that wins, `!id` when it belongs to another agent, null when nothing matches. `entries`: oldest first. */
const winner = (
  entries: readonly EntryRecord[],
  sent: Record<string, string> = SENT,
  generation: Generation = 'workspace',
) => {
  const match = chooseEntry(entries, ME, sent, generation)
  return match && ('entry' in match ? match.entry.id : `!${match.foreign.id}`)
}

describe('the server issues one entry', () => {
  test('whose selectors are all among those sent, values equal to the letter', () => {
    expect(winner([entry('a', { 'unix:uid': '1' })])).toBe('a')
    expect(winner([entry('a', { 'unix:uid': '01' })])).toBeNull()
    expect(winner([entry('a', { 'unix:uid': '1', 'k8s:ns': 'x' })])).toBeNull()
    expect(winner([entry('a', { toString: 'x' })], {})).toBeNull()
  })

  test('the agent’s own before an unassigned one, however specific that is', () => {
    const own = entry('own', { 'unix:uid': '1' }, ME)
    expect(winner([own, entry('any', SENT)])).toBe('own')
    expect(winner([entry('any', SENT), own])).toBe('own')
  })

  test('then the one with the most selectors', () => {
    const two = entry('two', { 'unix:uid': '1', 'unix:gid': '2' })
    expect(winner([two, entry('one', { 'unix:uid': '1' })])).toBe('two')
    expect(winner([two, entry('one', { 'unix:uid': '1' })], { 'unix:uid': '1' })).toBe('one')
  })

  test('then the youngest: of two with equal selectors the older is never issued', () => {
    expect(winner([entry('older', { 'unix:uid': '1' }), entry('younger', { 'unix:uid': '1' })])).toBe('younger')
  })

  test('never another agent’s; in the older generation that one may win all the same, and is then refused', () => {
    const foreign = entry('foreign', SENT, OTHER)
    const any = entry('any', { 'unix:uid': '1' })
    expect(winner([any, foreign])).toBe('any')
    expect(winner([any, foreign], SENT, 'tenant')).toBe('!foreign')
    expect(winner([entry('own', { 'unix:uid': '1' }, ME), foreign], SENT, 'tenant')).toBe('own')
  })
})

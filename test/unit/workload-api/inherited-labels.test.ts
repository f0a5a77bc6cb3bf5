import { describe, expect, it } from 'vitest'
import { EntryIndex } from '../../../agent/svids/entry-index.js'
import { lostMatches } from '../../../agent/workload-api/inherited-labels.js'
import { entryOf } from '../../fakes/identities.js'

const byLabel = entryOf('by-label', { selectors: { 'docker:label:app': 'payments' } })
const byUser = entryOf('by-user', { selectors: { 'unix:uid': '7' } })
const index = new EntryIndex([byLabel, byUser])
const lost = (selectors: Record<string, string>, matched: readonly string[] = []) =>
  lostMatches(index, new Map(Object.entries(selectors)), matched, 8)

describe('entries that a label of the image matched before', () => {
  it('are found by the label that the image has', () => {
    expect(lost({ 'unix:uid': '7', 'docker:image-label:app': 'payments' }, ['by-user'])).toEqual(['by-label'])
  })

  it('are none where the container was given the label, or another value', () => {
    expect(lost({ 'docker:label:app': 'payments', 'docker:image-label:x': 'y' }, ['by-label'])).toEqual([])
    expect(lost({ 'docker:label:app': 'web', 'docker:image-label:app': 'payments' })).toEqual([])
  })

  it('are none in a container whose image has no labels', () => {
    expect(lost({ 'unix:uid': '7' })).toEqual([])
  })
})

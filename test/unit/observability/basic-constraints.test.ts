import { expect, test } from 'vitest'
import { syncEvents } from '../../../agent/observability/sync-events.js'
import { FakeClock } from '../../fakes/clock.js'
import { entryOf, svidOf } from '../../fakes/identities.js'
import { RecordedSinks } from '../../fakes/sinks.js'

const BARE = 'Workload SVIDs come without the BasicConstraints extension, which some clients demand'

test('SVIDs without BasicConstraints are told of once, at the first of them, with the remedy', () => {
  const sinks = new RecordedSinks()
  const events = syncEvents(sinks, new FakeClock())
  const issued = (id: string, hasBasicConstraints: boolean) =>
    events.svidIssued(entryOf(id), { ...svidOf(id), hasBasicConstraints }, { renewal: false, ms: 1 })
  issued('cured', true)
  expect(sinks.events()).not.toContain(BARE)
  issued('first', false)
  issued('second', false)
  const lines = sinks.lines.filter(({ event }) => event === BARE)
  expect(lines).toMatchObject([
    { level: 'info', fields: { remedy: expect.stringContaining('basic_constraints_valid_for_non_ca=true') } },
  ])
})

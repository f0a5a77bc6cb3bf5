import { expect, test } from 'vitest'
import { AgentError } from '../../../agent/errors.js'
import { Budget, type Tier } from '../../../agent/icp/budget.js'
import { Contact } from '../../../agent/icp/contact.js'
import { pacedControlPlane } from '../../../agent/icp/paced.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane } from '../../fakes/control-plane.js'
import { fixedRandom } from '../../fakes/random.js'

const SIGNAL = new AbortController().signal

async function refusedWith(tier: string, method: 'entries' | 'jwtBundle') {
  const clock = new FakeClock()
  const server = await FakeControlPlane.create({ clock })
  const budget = new Budget(clock, fixedRandom(0))
  const told: [Tier, number][] = []
  const listener = { limited: (met: Tier, ms: number) => void told.push([met, ms]) }
  const control = pacedControlPlane(server, budget, listener, new Contact(clock))
  server.fail(method, new AgentError('icp.rate_limited', 'slow down', { details: { tier, retryAfterMs: 60_000 } }))
  const asked = method === 'entries' ? control.entries(server.agent, SIGNAL) : control.jwtBundle(SIGNAL)
  await expect(asked).rejects.toMatchObject({ code: 'icp.rate_limited' })
  const opensIn = (of: Tier) => budget.opensIn(of)
  return { told, waits: (['bootstrap', 'standard', 'sensitive', 'open'] as const).map(opensIn) }
}

test('a 429 of a tier pauses the tier alone', async () => {
  const { told, waits } = await refusedWith('standard', 'entries')
  expect(told).toEqual([['standard', 60_000]])
  expect(waits).toEqual([0, 60_000, 0, 0])
})

test.each(['entries', 'jwtBundle'] as const)(
  'a 429 of the window around the service to %s pauses everything',
  async (method) => {
    const { told, waits } = await refusedWith('service', method)
    expect(told).toEqual([['open', 60_000]])
    expect(waits).toEqual([60_000, 60_000, 60_000, 60_000])
  },
)

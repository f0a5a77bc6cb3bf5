import { expect, test } from 'vitest'
import { createCsr } from '../../../agent/crypto/csr.js'
import type { Tier } from '../../../agent/errors.js'
import { AgentError } from '../../../agent/errors.js'
import { limitedControlPlane } from '../../../agent/icp/limited-control-plane.js'
import { RateLimiter } from '../../../agent/icp/rate-limiter.js'
import { ServerReachability } from '../../../agent/icp/server-reachability.js'
import { FakeClock } from '../../fakes/clock.js'
import { FakeControlPlane } from '../../fakes/control-plane.js'
import { rsaKey } from '../../fakes/keys.js'
import { fixedRandom } from '../../fakes/random.js'

const SIGNAL = new AbortController().signal

const CSR = { agentId: 'an-agent', csrPem: '' }

async function refusedWith(tier: Tier, method: 'entries' | 'jwtBundle' | 'renewAgent', workspace = true) {
  const clock = new FakeClock()
  const server = await FakeControlPlane.create({ clock })
  const limiter = new RateLimiter(clock, fixedRandom(0))
  const told: Tier[] = []
  const onLimited = (met: Tier) => void told.push(met)
  const options = { limiter, reachability: new ServerReachability(clock), onLimited }
  const control = limitedControlPlane(server, options, () => workspace)
  server.fail(method, new AgentError('icp.rate_limited', 'slow down', { details: { tier, retryAfterMs: 60_000 } }))
  const ask = {
    entries: () => control.entries(server.agent, SIGNAL),
    jwtBundle: () => control.jwtBundle(SIGNAL),
    renewAgent: () => control.renewAgent(CSR, SIGNAL),
  }
  await expect(ask[method]()).rejects.toMatchObject({ code: 'icp.rate_limited' })
  const opensIn = (of: Tier) => limiter.opensIn(of)
  return { told, waits: (['bootstrap', 'standard', 'sensitive', 'service'] as const).map(opensIn) }
}

test('a 429 of a tier pauses the tier alone', async () => {
  const { told, waits } = await refusedWith('standard', 'entries')
  expect(told).toEqual(['standard'])
  expect(waits).toEqual([0, 60_000, 0, 0])
})

test.each(['entries', 'jwtBundle'] as const)(
  'a 429 of the window around the service to %s pauses everything',
  async (method) => {
    const { told, waits } = await refusedWith('service', method)
    expect(told).toEqual(['service'])
    expect(waits).toEqual([60_000, 60_000, 60_000, 60_000])
  },
)

test.each([
  ['workspace', 'standard', [0, 60_000, 0, 0]],
  ['tenant', 'bootstrap', [60_000, 0, 0, 0]],
] as const)(
  'a 429 to a renewal in the %s API pauses %s, the tier that it was charged to',
  async (generation, tier, paused) => {
    const { told, waits } = await refusedWith('standard', 'renewAgent', generation === 'workspace')
    expect(told).toEqual([tier])
    expect(waits).toEqual(paused)
  },
)

test('authorities that an answer names are told, whichever answer it is, and none of an answer that names none', async () => {
  const clock = new FakeClock()
  const server = await FakeControlPlane.create({ clock, generation: 'workspace' })
  const named: number[] = []
  const options = {
    limiter: new RateLimiter(clock, fixedRandom(0)),
    reachability: new ServerReachability(clock),
    onIssuers: (authorities: readonly Uint8Array[]) => void named.push(authorities.length),
  }
  const control = limitedControlPlane(server, options, () => true)
  const csrPem = await createCsr({ key: await rsaKey(0), uri: server.agent.uri, commonName: 'svid@localhost' })
  const evidence = { type: 'unix', evidence: {}, joinToken: server.mintToken() } as const
  server.addEntry({ path: '/web', selectors: { 'unix:uid': '1' } })
  await control.attestNode({ evidence, csrPem }, SIGNAL)
  await control.renewAgent({ agentId: server.agentId, csrPem }, SIGNAL)
  await control.signWorkload({ agent: server.agent, selectors: new Map([['unix:uid', '1']]), csrPem }, SIGNAL)
  await control.bundle(SIGNAL)
  expect(named).toEqual([1, 1, 1, 1])
  server.withoutBundle = true
  await control.renewAgent({ agentId: server.agentId, csrPem }, SIGNAL)
  await control.entries(server.agent, SIGNAL)
  expect(named).toHaveLength(4)
})

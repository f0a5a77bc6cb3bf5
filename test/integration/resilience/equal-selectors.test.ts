import { expect, test, vi } from 'vitest'
import { SystemClock } from '../../../agent/platform/system-clock.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { fetchOnce, served, svidStream, uid } from './support.js'

// On a busy machine an agent takes seconds to start, and SVIDs live for half a minute.
vi.setConfig({ testTimeout: 300_000 })

test('the default identity moves between two entries with equal selectors without a stream that ends', async () => {
  await using dir = await temporaryDirectory()
  let ago = 60_000
  await using server = await startServer(`${dir.path}/icp`, {
    clock: new SystemClock(() => Date.now() - ago),
    svidTtlSeconds: 30,
  })
  const [old, young] = [`spiffe://${TENANT}/old`, `spiffe://${TENANT}/young`]
  await server.createEntry({ spiffeId: old, selectors: { 'unix:uid': uid } })
  ago = 0
  await using agent = await startAgent({ dir: dir.path, server, settings: { SYNC__INTERVAL: '7s' } })
  expect((await served(agent.address)).ids).toEqual([old])
  using stream = svidStream(agent.address)
  const winner = await server.createEntry({ spiffeId: young, selectors: { 'unix:uid': uid } })
  const said = await agent.logged(
    'Registration entry is not issued: the ICP server issues another one for its selectors',
  )
  expect(said).toMatchObject({ spiffe_id: old, winner_spiffe_id: young })
  // One message after another on one stream: with both, then with the winner alone.
  expect((await stream.until(({ ids }) => ids.length === 2)).ids).toEqual([old, young])
  expect((await stream.until(({ ids }) => ids.length === 1)).ids).toEqual([young])
  expect((await fetchOnce(agent.address)).ids).toEqual([young])
  await server.deleteEntry(winner.id)
  // The server may have issued the old one's identity again before the agent has read that the other one is gone.
  expect((await stream.until(({ ids }) => ids.join() === old)).ids).toEqual([old])
  expect(agent.lines.filter(({ level }) => level === 'error')).toEqual([])
})

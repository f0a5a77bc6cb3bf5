import { status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { served, svidStream, uid } from './support.js'

test('a stop ends every stream with Unavailable, so that clients come back', { timeout: 180_000 }, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server })
  await served(agent.address)
  const streams = Array.from({ length: 50 }, () => svidStream(agent.address))
  await Promise.all(streams.map((stream) => stream.next()))
  const ends = streams.map((stream) => stream.ended())
  await agent.stop()
  expect(new Set(await Promise.all(ends))).toEqual(new Set([status.UNAVAILABLE]))
  for (const stream of streams) stream[Symbol.dispose]()
})

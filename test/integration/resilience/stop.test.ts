import { type AddressInfo, createServer, type Socket } from 'node:net'
import { status } from '@grpc/grpc-js'
import { expect, test, vi } from 'vitest'
import type { HttpClientOptions } from '../../../agent/platform/undici-http.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { served, svidStream, uid } from './support.js'

// No connection that is being made ends by itself before the test does.
vi.mock('../../../agent/platform/undici-http.js', async (original) => {
  const { createHttpClient } = await original<typeof import('../../../agent/platform/undici-http.js')>()
  return {
    createHttpClient: (options: HttpClientOptions) => createHttpClient({ ...options, connectTimeoutMs: 3_600_000 }),
  }
})

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

test('a stop waits for no server that accepts connections and never answers', async () => {
  await using dir = await temporaryDirectory()
  const sockets = new Set<Socket>()
  const mute = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).resume())
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const address = `https://127.0.0.1:${(mute.address() as AddressInfo).port}`
  await using agent = await startAgent({
    dir: dir.path,
    server: { address, caPath: `${dir.path}/none.pem` },
    settings: { ICP_SERVICE__TIMEOUT: '10m' },
  })
  await expect.poll(() => sockets.size).toBeGreaterThan(0)
  // The server never hangs up, and no deadline of the agent comes within the time of the test.
  await agent.stop()
  // Nothing is left that would keep the process alive.
  await expect.poll(() => sockets.size).toBe(0)
  await new Promise((resolve) => mute.close(resolve))
})

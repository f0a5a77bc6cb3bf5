import { type AddressInfo, createServer, type Socket } from 'node:net'
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

test('a stop waits for no server that accepts connections and never answers', { timeout: 60_000 }, async () => {
  await using dir = await temporaryDirectory()
  const happened: string[] = []
  const sockets = new Set<Socket>()
  const mute = createServer((socket) => {
    sockets.add(socket.on('error', () => undefined).resume())
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => mute.listen(0, '127.0.0.1', resolve))
  const address = `https://127.0.0.1:${(mute.address() as AddressInfo).port}`
  await using agent = await startAgent({ dir: dir.path, server: { address, caPath: `${dir.path}/none.pem` } })
  await expect.poll(() => sockets.size).toBeGreaterThan(0)
  const hungUp = setTimeout(() => {
    happened.push('the server hangs up')
    for (const socket of sockets) socket.destroy()
  }, 5_000)
  await agent.stop()
  happened.push('stopped')
  clearTimeout(hungUp)
  // Nothing is left that would keep the process alive.
  await expect.poll(() => sockets.size).toBe(0)
  expect(happened).toEqual(['stopped'])
  await new Promise((resolve) => mute.close(resolve))
})

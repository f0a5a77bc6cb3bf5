import { queryObjects, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect, test, vi } from 'vitest'
import { startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { svidStream, uid } from '../resilience/support.js'
import { reloadable } from './support.js'

vi.setConfig({ testTimeout: 900_000 })
const STREAMS = 200
const RELOADS = 1_000

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void
const heap = async () => {
  for (let i = 0; i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 200))
    collect()
  }
  // The heap also holds what V8 compiles, a kilobyte a reload for minutes; objects are what the program keeps.
  return { bytes: process.memoryUsage().heapUsed, objects: queryObjects(Object, { format: 'count' }) }
}

test('a thousand reloads end none of two hundred streams and leave nothing behind', async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const world = await reloadable(dir.path, server)
  const limits = { connections_per_pid: 1000, connections_per_second: 1000 }
  const quiet = { workload_api: { limits }, logging: { level: 'error' } }
  await using agent = await world.start({ ...quiet, logging: { level: 'info' } })
  const streams = Array.from({ length: STREAMS }, () => svidStream(agent.address))
  await Promise.all(streams.map((stream) => stream.next()))
  let ended = 0
  for (const stream of streams) void stream.ended().then(() => ended++)
  let atHundred = { bytes: 0, objects: 0 }
  for (let i = 1; i <= RELOADS; i++) {
    const odd = i % 2 === 1
    const attestation = { unix: { forgeable: odd }, docker: { socket_path: `/run/none-${i % 2}.sock` } }
    await world.write({ ...quiet, attestation, sync: { interval: odd ? '60s' : '61s' } })
    expect(await world.reload(agent)).toMatchObject({ ok: true })
    if (i === 100) atHundred = await heap()
  }
  const atEnd = await heap()
  expect(ended).toBe(0)
  const told = JSON.stringify([atHundred, atEnd])
  expect(atEnd.bytes / atHundred.bytes, told).toBeLessThan(1.05)
  // One object for each reload would be 900. Streams come and go with timers and pings.
  expect(atEnd.objects - atHundred.objects, told).toBeLessThan(450)
  for (const stream of streams) stream[Symbol.dispose]()
})

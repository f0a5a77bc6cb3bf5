import { once } from 'node:events'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { served, uid } from './support.js'

const CONNECTIONS = 20
const STREAMS = 100

test('two thousand streams are told within two seconds of a stop', { timeout: 180_000 }, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  await using agent = await startAgent({ dir: dir.path, server, settings: { SYNC__INTERVAL: '10s' } })
  await served(agent.address)
  const statuses: string[] = []
  const sessions: ClientHttp2Session[] = []
  const begun: Promise<unknown>[] = []
  for (let c = 0; c < CONNECTIONS; c++) {
    const session = connectHttp2('http://localhost', { createConnection: () => connect(agent.socketPath) })
    session.on('error', () => session.destroy())
    sessions.push(session)
    for (let s = 0; s < STREAMS; s++) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/SpiffeWorkloadAPI/FetchX509SVID',
        'content-type': 'application/grpc',
        te: 'trailers',
        'workload.spiffe.io': 'true',
      })
      stream.on('error', () => stream.destroy())
      stream.on('trailers', (headers) => statuses.push(String(headers['grpc-status'])))
      begun.push(once(stream, 'data').then(() => stream.resume()))
      stream.end(Buffer.alloc(5))
    }
  }
  await Promise.all(begun)
  const began = performance.now()
  await agent.stop()
  const took = performance.now() - began
  await Promise.all(sessions.map((session) => (session.destroyed ? null : once(session, 'close'))))
  expect(statuses).toHaveLength(CONNECTIONS * STREAMS)
  expect(new Set(statuses)).toEqual(new Set(['14']))
  expect(took).toBeLessThan(2_000)
})

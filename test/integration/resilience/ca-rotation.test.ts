import { connect, createServer, type TLSSocket } from 'node:tls'
import { expect, test } from 'vitest'
import { pemFromDer } from '../../../agent/crypto/pem.js'
import { startAgent, startServer, TENANT, temporaryDirectory } from '../../support/agent.js'
import { eventually } from '../../support/until.js'
import { type Context, served, svidStream, uid } from './support.js'

/** What TLS wants, from what a workload holds now. */
function tlsOf({ chain, key, bundle }: Context) {
  return {
    cert: pemFromDer(chain, 'CERTIFICATE'),
    key: pemFromDer(key, 'PRIVATE KEY'),
    ca: bundle.map((authority) => authority.toString()),
  }
}

/** One connection in which both sides prove who they are; resolves with why it failed, or null. */
async function handshake(client: Context, server: Context): Promise<string | null> {
  const listener = createServer({ ...tlsOf(server), requestCert: true, rejectUnauthorized: true })
  const outcome = new Promise<string | null>((resolve) => {
    listener.on('secureConnection', (socket: TLSSocket) => socket.end(() => resolve(null)))
    listener.on('tlsClientError', (error: Error) => resolve(`the server refuses: ${error.message}`))
    listener.listen(0, '127.0.0.1', () => {
      const address = listener.address()
      const port = typeof address === 'object' ? (address?.port ?? 0) : 0
      const socket = connect({ ...tlsOf(client), port, host: '127.0.0.1', checkServerIdentity: () => undefined })
      socket.on('error', (error) => resolve(`the client refuses: ${error.message}`))
      socket.resume()
    })
  })
  const failure = await outcome
  listener.close()
  return failure
}

test('a new CA breaks no connection between workloads of three nodes that learn of it at different times', {
  timeout: 180_000,
}, async () => {
  await using dir = await temporaryDirectory()
  await using server = await startServer(`${dir.path}/icp`)
  // Most servers name their CA beside certificates alone; this is about those that publish it.
  server.setFault({ kind: 'bundle-served' })
  await server.createEntry({ spiffeId: `spiffe://${TENANT}/web`, selectors: { 'unix:uid': uid } })
  const intervals = ['1000ms', '1300ms', '1700ms']
  const [first, second, third] = await Promise.all(
    intervals.map((interval, n) => {
      const settings = { AGENT__NODE_ID: `node-${n}`, SYNC__BUNDLE_INTERVAL: interval, SYNC__INTERVAL: '5s' }
      return startAgent({ dir: `${dir.path}/${n}`, server, settings })
    }),
  )
  if (!first || !second || !third) throw new TypeError('three agents')
  await using _first = first
  await using _second = second
  await using _third = third
  const nodes = await Promise.all(
    [first, second, third].map(async (agent) => ({ agent, context: await served(agent.address) })),
  )
  const streams = nodes.map(({ agent }) => svidStream(agent.address))
  for (const [n, node] of nodes.entries()) {
    const follow = async () => {
      for (;;) node.context = (await streams[n]?.next()) ?? node.context
    }
    // Ends with the stream.
    follow().catch(() => streams[n]?.[Symbol.dispose]())
  }
  const before = nodes.map(({ context }) => context.leaf.issuer)
  const failures: string[] = []
  let connections = 0
  const everybodyConnects = async () => {
    for (const [c, client] of nodes.entries()) {
      for (const [s, other] of nodes.entries()) {
        const failure = await handshake(client.context, other.context)
        connections++
        if (failure) failures.push(`${c} to ${s}: ${failure}`)
      }
    }
  }
  await everybodyConnects()
  await server.rotateCa()
  // Renewed early although hours of their lives are left, and shown only when everybody knows the issuer.
  await eventually(
    async () => {
      await everybodyConnects()
      return nodes.map(({ context }) => context.leaf.issuer)
    },
    (issuers) => issuers.every((issuer, n) => issuer !== before[n]),
  )
  await everybodyConnects()
  expect(failures).toEqual([])
  expect(connections).toBeGreaterThan(27)
  // The old one stays: nodes elsewhere may show SVIDs of it yet.
  for (const { context } of nodes) expect(context.bundle).toHaveLength(2)
  for (const stream of streams) stream[Symbol.dispose]()
})

import { X509Certificate } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { type ClientReadableStream, credentials, Metadata, makeGenericClientConstructor } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import * as authsec from '../../proto/gen/authsec/workload_pb.js'
import * as spiffe from '../../proto/gen/spiffe/workload_pb.js'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'

const uid = String(process.getuid?.())

/** Opens a stream and resolves with its first message, or rejects with its status. */
function first(address: string, path: string, metadata: Record<string, string> = {}): Promise<Buffer> {
  const Client = makeGenericClientConstructor({}, 'raw')
  const client = new Client(address, credentials.createInsecure())
  const headers = new Metadata()
  for (const [key, value] of Object.entries(metadata)) headers.set(key, value)
  const call: ClientReadableStream<Buffer> = client.makeServerStreamRequest(
    path,
    (b: Buffer) => b,
    (b: Buffer) => b,
    Buffer.alloc(0),
    headers,
  )
  return new Promise<Buffer>((resolve, reject) => {
    call.on('data', resolve)
    call.on('error', reject)
  }).finally(() => {
    call.cancel()
    client.close()
  })
}

const BARE = 'Workload SVIDs come without the BasicConstraints extension, which some clients demand'

describe('an attested process gets its X.509-SVID', () => {
  it.each(['tenant', 'workspace'] as const)(
    'from a server of the %s generation, in both dialects',
    async (generation) => {
      await using dir = await temporaryDirectory()
      await using server = await startServer(`${dir.path}/icp`, { generation, workloadTrustDomain: 'acme.example' })
      await server.createEntry({
        spiffeId: 'spiffe://acme.example/web',
        selectors: { 'unix:uid': uid },
      })
      const token = generation === 'workspace' ? (await server.createJoinToken()).token : ''
      await using agent = await startAgent({
        dir: dir.path,
        server,
        settings: token === '' ? {} : { AGENT__JOIN_TOKEN: token },
      })
      const message = await first(agent.address, '/SpiffeWorkloadAPI/FetchX509SVID', { 'workload.spiffe.io': 'true' })
      const { svids } = fromBinary(spiffe.X509SVIDResponseSchema, message)
      expect(svids.map((svid) => svid.spiffeId)).toEqual(['spiffe://acme.example/web'])
      const leaf = new X509Certificate(svids[0]?.x509Svid ?? '')
      expect(leaf.subjectAltName).toContain('URI:spiffe://acme.example/web')
      // That the server publishes no bundle is no reason for a warning.
      expect(await agent.logged('The ICP server publishes no bundle')).toMatchObject({ level: 'debug' })
      expect(agent.lines.filter(({ event }) => event.startsWith('Bundle poll'))).toEqual([])
      const bare = await agent.logged(BARE)
      expect(bare).toMatchObject({ level: 'info', remedy: expect.stringContaining('basic_constraints') })
      const pem = fromBinary(
        authsec.X509SVIDResponseSchema,
        await first(agent.address, '/spiffe.workload.SpiffeWorkloadAPI/FetchX509SVID'),
      )
      expect(new X509Certificate(Buffer.from(pem.svids[0]?.x509Svid ?? '')).serialNumber).toBe(leaf.serialNumber)
    },
  )
})

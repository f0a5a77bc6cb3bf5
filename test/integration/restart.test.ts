import { X509Certificate } from 'node:crypto'
import { fromBinary } from '@bufbuild/protobuf'
import { status } from '@grpc/grpc-js'
import { describe, expect, it } from 'vitest'
import { X509SVIDResponseSchema } from '../../proto/gen/spiffe/workload_pb.js'
import { startAgent, startServer, temporaryDirectory } from '../support/agent.js'
import { openStream, SECURITY_HEADER, SPIFFE } from '../support/raw-stream.js'

const uid = String(process.getuid?.())

async function serialOf(address: string): Promise<string> {
  using stream = openStream(address, `${SPIFFE}/FetchX509SVID`, { metadata: SECURITY_HEADER })
  const { svids } = fromBinary(X509SVIDResponseSchema, await stream.next())
  return new X509Certificate(svids[0]?.x509Svid ?? '').serialNumber
}

describe('an agent that starts again', () => {
  it('serves the same SVID at once while the server is away', async () => {
    await using dir = await temporaryDirectory()
    const server = await startServer(`${dir.path}/icp`)
    const { address, caPath } = server
    await server.createEntry({ spiffeId: `spiffe://${server.tenantId}/web`, selectors: { 'unix:uid': uid } })
    let before: string
    {
      await using agent = await startAgent({ dir: dir.path, server: { address, caPath } })
      before = await serialOf(agent.address)
    }
    await server[Symbol.asyncDispose]()
    await using agent = await startAgent({ dir: dir.path, server: { address, caPath } })
    expect(await serialOf(agent.address)).toBe(before)
    expect(agent.lines.map((line) => line.event)).toContain('Sealed cache restored')
  })

  it('of another node trusts nothing of the cache', async () => {
    await using dir = await temporaryDirectory()
    const server = await startServer(`${dir.path}/icp`)
    const { address, caPath } = server
    await server.createEntry({ spiffeId: `spiffe://${server.tenantId}/web`, selectors: { 'unix:uid': uid } })
    {
      await using agent = await startAgent({ dir: dir.path, server: { address, caPath } })
      await serialOf(agent.address)
    }
    await server[Symbol.asyncDispose]()
    await using agent = await startAgent({
      dir: dir.path,
      server: { address, caPath },
      settings: { AGENT__NODE_ID: 'another', WORKLOAD_API__HOLD: '100ms' },
    })
    await expect(serialOf(agent.address)).rejects.toMatchObject({ code: status.UNAVAILABLE })
    expect(agent.lines.map((line) => line.event)).toContain('Sealed cache file cannot be trusted and is set aside')
  })
})

import { appendFileSync } from 'node:fs'
import { fromBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js'
import { X509SVIDResponseSchema } from '../../proto/gen/spiffe/workload_pb.js'

/**
 * A workload for the real node, bundled into an image: keeps a stream of X.509-SVIDs open, and writes down each message
 * and how each stream ended.
 */
const AGAIN_MS = 500
// A container that starts again may have another user.
process.umask(0)
const say = (line: Readonly<Record<string, unknown>>) => appendFileSync('/out/lines', `${JSON.stringify(line)}\n`)

const metadata = new Metadata()
metadata.set('workload.spiffe.io', 'true')

function open(): void {
  const client = new Client(process.env['SPIFFE_ENDPOINT_SOCKET'] ?? '', credentials.createInsecure())
  const call = client.makeServerStreamRequest(
    '/SpiffeWorkloadAPI/FetchX509SVID',
    (request: Buffer) => request,
    (message: Buffer) => message,
    Buffer.alloc(0),
    metadata,
  )
  call.on('data', (message: Buffer) => {
    say({ svids: fromBinary(X509SVIDResponseSchema, message).svids.map(({ spiffeId }) => spiffeId) })
  })
  call.on('error', ({ code, details }: ServiceError) => {
    say({ code, details })
    client.close()
    setTimeout(open, AGAIN_MS)
  })
}

open()

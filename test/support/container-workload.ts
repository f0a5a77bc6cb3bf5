import { appendFileSync, existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fromBinary } from '@bufbuild/protobuf'
import { Client, credentials, Metadata, type ServiceError, status } from '@grpc/grpc-js'
import { X509SVIDResponseSchema } from '../../proto/gen/spiffe/workload_pb.js'

/**
 * A workload for tests, bundled and run in a container: opens one stream of X.509-SVIDs, with whatever metadata it is
 * told to send, and writes down each message and how the stream ended. It tries again, as all clients do, while the
 * agent says that it has nothing to give yet; what was served once must stay.
 */
const { SOCKET = '/run/spire/sockets/agent.sock', METADATA = '{}', OUT = '/out', WAITS = '' } = process.env

const say = (line: Readonly<Record<string, unknown>>) => appendFileSync(`${OUT}/lines`, `${JSON.stringify(line)}\n`)

const metadata = new Metadata()
metadata.set('workload.spiffe.io', 'true')
for (const [key, value] of Object.entries(JSON.parse(METADATA) as Record<string, string>)) metadata.set(key, value)
const client = new Client(`unix://${SOCKET}`, credentials.createInsecure())

async function work(): Promise<void> {
  while (WAITS !== '' && !existsSync(`${OUT}/go`)) await sleep(20)
  open()
}

function open(): void {
  let served = false
  const call = client.makeServerStreamRequest(
    '/SpiffeWorkloadAPI/FetchX509SVID',
    (request: Buffer) => request,
    (message: Buffer) => message,
    Buffer.alloc(0),
    metadata,
  )
  call.on('data', (message: Buffer) => {
    served = true
    say({ svids: fromBinary(X509SVIDResponseSchema, message).svids.map(({ spiffeId }) => spiffeId) })
  })
  call.on('error', (error: ServiceError) => {
    const again = error.code === status.UNAVAILABLE && !served
    if (again) setTimeout(open, 1_000)
    say({ [again ? 'waits' : 'code']: error.code, details: error.details })
  })
}

// Stays, so that the container does: the test ends it.
setInterval(() => undefined, 60_000)
void work()

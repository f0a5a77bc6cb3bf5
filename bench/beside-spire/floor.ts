import { fstatSync, openSync, readFileSync } from 'node:fs'
import { Server, ServerCredentials } from '@grpc/grpc-js'

/**
 * The minimal cost of a Workload API on grpc-js: answers a number of bytes without checks. With `check` it checks once per
 * message that the process still runs the same program, as an agent must.
 * Arguments: socket, bytes, `check` or nothing.
 */
const [socket = '', bytes = '3106', check] = process.argv.slice(2)
const answer = response(Number(bytes))
const held = check === undefined ? null : openSync('/proc/self', 'r')

const server = new Server({ 'grpc.enable_channelz': 0 })
const raw = { requestSerialize: (b: Buffer) => b, requestDeserialize: (b: Buffer) => b }
server.addService(
  {
    fetch: {
      path: '/SpiffeWorkloadAPI/FetchX509SVID',
      requestStream: false,
      responseStream: true,
      ...raw,
      responseSerialize: (b: Buffer) => b,
      responseDeserialize: (b: Buffer) => b,
    },
  },
  {
    fetch: (call: { write(message: Buffer): void }) => {
      if (held !== null) looksAtTheProcess(held)
      call.write(answer)
    },
  },
)
server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) => {
  if (error) throw error
})

function looksAtTheProcess(directory: number): void {
  fstatSync(directory)
  readFileSync('/proc/self/stat', 'latin1')
}

/** An X509SVIDResponse with one SVID: its SPIFFE ID, and filler bytes instead of the certificate. */
function response(size: number): Buffer {
  const field = (number: number, value: Buffer) =>
    Buffer.concat([varint((number << 3) | 2), varint(value.length), value])
  const svid = Buffer.concat([field(1, Buffer.from('spiffe://bench.example/floor')), field(2, Buffer.alloc(size))])
  return field(1, svid)
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  for (let left = value; ; left >>>= 7) {
    if (left < 0x80) return Buffer.from([...bytes, left])
    bytes.push((left & 0x7f) | 0x80)
  }
}
